<?php
// Values of entities as JSON can say them.

declare(strict_types=1);

namespace FormLock\Doctrine;

use Doctrine\ORM\EntityManagerInterface;

final class Plain
{
    public function __construct(private readonly EntityManagerInterface $manager)
    {
    }

    /** Whether there is a way to say it: not of collections, streams, bytes that are no text, and objects of no known kind. */
    public function can(mixed $value): bool
    {
        return match (true) {
            // By NUL WAMP would know bytes.
            is_string($value) => !str_starts_with($value, "\0") && preg_match('//u', $value) === 1,
            $value === null, is_scalar($value) => !is_float($value) || is_finite($value),
            is_array($value) => !array_filter($value, fn (mixed $inner) => !$this->can($inner)),
            $value instanceof \DateTimeInterface, $value instanceof \BackedEnum, $value instanceof \Stringable => true,
            is_object($value) => $this->isEntity($value),
            default => false,
        };
    }

    public function of(mixed $value): mixed
    {
        return match (true) {
            is_array($value) => array_map($this->of(...), $value),
            $value instanceof \DateTimeInterface => $value->format(\DateTimeInterface::ATOM),
            $value instanceof \BackedEnum => $value->value,
            is_object($value) && $this->isEntity($value) => $this->id($value),
            $value instanceof \Stringable => (string) $value,
            default => $value,
        };
    }

    private function isEntity(object $value): bool
    {
        return !$this->manager->getMetadataFactory()->isTransient($value::class);
    }

    /** An entity is said by its id; by a list of them if it has several. */
    private function id(object $entity): mixed
    {
        $ids = $this->manager->getClassMetadata($entity::class)->getIdentifierValues($entity);
        $ids = array_map($this->of(...), array_values($ids));
        return count($ids) === 1 ? $ids[0] : ($ids ?: null);
    }
}
