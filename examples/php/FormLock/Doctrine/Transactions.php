<?php
// What waits for a commit: a list for the transaction and one for each savepoint in it. What is rolled back goes with its list.

declare(strict_types=1);

namespace FormLock\Doctrine;

/** One for each connection: the middleware tells it what the database does, the listener what changes. */
final class Transactions
{
    /** @var list<array{string, list<array<string, mixed>>}> a savepoint's name (the transaction's is empty), and its updates */
    private array $levels = [];

    /** @param \Closure(list<array<string, mixed>>): void $committed gets the updates, one for each form, right after the commit */
    public function __construct(private readonly \Closure $committed)
    {
    }

    /** @param array<string, mixed> $update */
    public function add(array $update): void
    {
        if (!$this->levels) {
            throw new \LogicException('The connection needs FormLock\Doctrine\CommitMiddleware: nobody would know of its commits.');
        }
        $this->levels[array_key_last($this->levels)][1][] = $update;
    }

    public function begun(): void
    {
        $this->levels = [['', []]];
    }

    public function committed(): void
    {
        $updates = Fold::byForm(array_merge(...array_column($this->levels, 1)));
        $this->levels = [];
        if ($updates) {
            try {
                ($this->committed)($updates);
            } catch (\Throwable $error) {
                // The transaction is done; whoever has the form open sees it when he reloads.
                error_log("formlock: not pushed: {$error->getMessage()}");
            }
        }
    }

    public function rolledBack(): void
    {
        $this->levels = [];
    }

    public function saved(string $name): void
    {
        $this->levels[] = [$name, []];
    }

    /** What was done since then belongs to what is around it. */
    public function released(string $name): void
    {
        $from = $this->find($name);
        if ($from !== null) {
            $updates = array_merge(...array_column(array_splice($this->levels, $from), 1));
            array_push($this->levels[$from - 1][1], ...$updates);
        }
    }

    /** The savepoint itself stays, as in SQL. */
    public function rolledBackTo(string $name): void
    {
        $from = $this->find($name);
        if ($from !== null) {
            array_splice($this->levels, $from, null, [[$name, []]]);
        }
    }

    /** The last one of that name: an earlier one is hidden by it. */
    private function find(string $name): ?int
    {
        for ($n = count($this->levels) - 1; $n > 0; $n--) {
            if ($this->levels[$n][0] === $name) {
                return $n;
            }
        }
        return null;
    }
}
