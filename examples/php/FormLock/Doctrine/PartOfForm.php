<?php
// An entity that is a part of another one's form, as an invoice's line is: its channel is the invoice's.

declare(strict_types=1);

namespace FormLock\Doctrine;

interface PartOfForm extends ChannelProvider
{
    /** The form's name for one of this entity's properties: "line-7.amount" for `amount`. */
    public function fieldName(string $property): string;
}
