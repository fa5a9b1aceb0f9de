<?php
// An entity some of whose fields not everybody may see who may see its form.

declare(strict_types=1);

namespace FormLock\Doctrine;

interface FieldsForSome extends ChannelProvider
{
    /**
     * By property: the right that one needs to see it (1 to 64 of a-z 0-9 _ . -), or null for what never leaves the application, as
     * a password's hash. A property that is not in it is for everybody.
     *
     * @return array<string, ?string>
     */
    public function fieldsForSome(): array;
}
