<?php
// What an entity says of itself so that its changes are pushed.

declare(strict_types=1);

namespace FormLock\Doctrine;

interface ChannelProvider
{
    /** Its form's topic: FormLock\topic('invoice', $this->id); null when it has no form at the moment. Asked when it has its id. */
    public function channel(): ?string;
}
