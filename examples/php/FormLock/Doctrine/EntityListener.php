<?php
// Notes what each flush has written of entities that have a channel. What becomes of it is decided by Transactions.

declare(strict_types=1);

namespace FormLock\Doctrine;

use Doctrine\Common\EventSubscriber;
use Doctrine\ORM\Event\OnFlushEventArgs;
use Doctrine\ORM\Event\PostPersistEventArgs;
use Doctrine\ORM\Event\PostRemoveEventArgs;
use Doctrine\ORM\Event\PostUpdateEventArgs;
use Doctrine\ORM\EntityManagerInterface;
use Doctrine\ORM\Events;

/**
 * An entity is noted when its SQL has run: then its generated id and what preUpdate has changed are known, and the savepoint that it
 * belongs to is open. A deleted one has lost its id by then, so its channel is asked for in onFlush.
 */
final class EntityListener implements EventSubscriber
{
    /** @var array<int, array<string, mixed>> by object, what is told of those that this flush deletes */
    private array $deleted = [];

    /**
     * @param ?\Closure(object): (array<string, mixed>|string|null) $representation the new contents, if they are to be sent along
     * @param bool $requestsOnly false: also what a command or a migration does is told
     */
    public function __construct(
        private readonly Transactions $transactions,
        private readonly ?\Closure $representation = null,
        private readonly bool $requestsOnly = true,
    ) {
    }

    public function getSubscribedEvents(): array
    {
        $isRequest = PHP_SAPI !== 'cli' && PHP_SAPI !== 'phpdbg';
        if ($this->requestsOnly && !$isRequest) {
            return [];
        }
        return [Events::onFlush, Events::postPersist, Events::postUpdate, Events::postRemove];
    }

    public function onFlush(OnFlushEventArgs $args): void
    {
        $this->deleted = [];
        $manager = $args->getObjectManager();
        foreach ($manager->getUnitOfWork()->getScheduledEntityDeletions() as $entity) {
            $channel = $entity instanceof ChannelProvider ? $entity->channel() : null;
            if ($channel !== null) {
                $values = $manager->getUnitOfWork()->getOriginalEntityData($entity);
                $changes = $entity instanceof PartOfForm ? array_map(fn (mixed $old) => [$old, null], $values) : [];
                $this->deleted[spl_object_id($entity)] = $this->update($manager, $entity, $channel, Fold::DELETED, $changes);
            }
        }
    }

    public function postPersist(PostPersistEventArgs $args): void
    {
        $this->changed($args->getObjectManager(), $args->getObject(), Fold::CREATED);
    }

    public function postUpdate(PostUpdateEventArgs $args): void
    {
        $this->changed($args->getObjectManager(), $args->getObject(), Fold::UPDATED);
    }

    public function postRemove(PostRemoveEventArgs $args): void
    {
        $update = $this->deleted[spl_object_id($args->getObject())] ?? null;
        if ($update !== null) {
            $this->transactions->add($update);
        }
    }

    private function changed(EntityManagerInterface $manager, object $entity, string $status): void
    {
        $channel = $entity instanceof ChannelProvider ? $entity->channel() : null;
        if ($channel === null) {
            return;
        }
        $update = $this->update($manager, $entity, $channel, $status, $manager->getUnitOfWork()->getEntityChangeSet($entity));
        // A part knows of itself alone: the whole form is its parent's to show.
        if ($this->representation !== null && !$entity instanceof PartOfForm) {
            $update['representation'] = ($this->representation)($entity);
        }
        $this->transactions->add($update);
    }

    /**
     * @param array<string, array{mixed, mixed}> $changes by property
     * @return array<string, mixed>
     */
    private function update(EntityManagerInterface $manager, object $entity, string $channel, string $status, array $changes): array
    {
        $isPart = $entity instanceof PartOfForm;
        $named = fn (string $property) => $isPart ? $entity->fieldName($property) : $property;
        $plain = new Plain($manager);
        $forSome = $entity instanceof FieldsForSome ? $entity->fieldsForSome() : [];
        $changeSet = $redact = [];
        foreach ($changes as $property => [$old, $new]) {
            $neverTold = array_key_exists($property, $forSome) && $forSome[$property] === null;
            if (!$neverTold && $plain->can($old) && $plain->can($new)) {
                $changeSet[$named($property)] = [$plain->of($old), $plain->of($new)];
            }
        }
        foreach (array_filter($forSome, is_string(...)) as $property => $right) {
            $redact[$named($property)] = $right;
        }
        // The form is still there when one of its parts is not.
        $status = $isPart ? Fold::UPDATED : $status;
        $update = ['status' => $status, 'channel' => $channel, 'change_set' => $changeSet, 'part' => $isPart];
        $class = $manager->getClassMetadata($entity::class);
        $version = $class->isVersioned && !$isPart ? $class->getFieldValue($entity, $class->versionField) : null;
        return $update + ($redact ? ['redact' => $redact] : []) + (is_int($version) ? ['version' => $version] : []);
    }
}
