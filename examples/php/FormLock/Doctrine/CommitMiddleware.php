<?php
// Tells when a transaction really ends. Doctrine's own events can't: postFlush comes before the commit of a transaction around it.

declare(strict_types=1);

namespace FormLock\Doctrine;

use Doctrine\DBAL\Driver;
use Doctrine\DBAL\Driver\Connection;
use Doctrine\DBAL\Driver\Middleware;
use Doctrine\DBAL\Driver\Middleware\AbstractConnectionMiddleware;
use Doctrine\DBAL\Driver\Middleware\AbstractDriverMiddleware;

/** For DBAL 3: `$configuration->setMiddlewares([new CommitMiddleware($transactions)])`. */
final class CommitMiddleware implements Middleware
{
    public function __construct(private readonly Transactions $transactions)
    {
    }

    public function wrap(Driver $driver): Driver
    {
        return new class ($driver, $this->transactions) extends AbstractDriverMiddleware {
            public function __construct(Driver $driver, private readonly Transactions $transactions)
            {
                parent::__construct($driver);
            }

            public function connect(array $params): Connection
            {
                // With the connection before, its transaction has ended.
                $this->transactions->rolledBack();
                return new WatchedConnection(parent::connect($params), $this->transactions);
            }
        };
    }
}

/** The database's own transactions: nested calls that Doctrine only counts do not come down here. */
final class WatchedConnection extends AbstractConnectionMiddleware
{
    private const SAVEPOINT =
        '/^\s*(SAVEPOINT|RELEASE(?: SAVEPOINT)?|ROLLBACK(?: WORK| TRANSACTION)? TO(?: SAVEPOINT)?)\s+(\S+?)\s*;?\s*$/i';

    public function __construct(Connection $connection, private readonly Transactions $transactions)
    {
        parent::__construct($connection);
    }

    public function beginTransaction(): bool
    {
        $begun = parent::beginTransaction();
        $this->transactions->begun();
        return $begun;
    }

    public function commit(): bool
    {
        // One that fails is rolled back, or tried again, by whoever began it.
        $committed = parent::commit();
        if ($committed) {
            $this->transactions->committed();
        }
        return $committed;
    }

    public function rollBack(): bool
    {
        // First of all: a rollback that fails has its transaction in doubt, and doubt is not told.
        $this->transactions->rolledBack();
        return parent::rollBack();
    }

    public function exec(string $sql): int
    {
        $affected = parent::exec($sql);
        if (preg_match(self::SAVEPOINT, $sql, $said)) {
            match (strtoupper(substr($said[1], 0, 2))) {
                'SA' => $this->transactions->saved($said[2]),
                'RE' => $this->transactions->released($said[2]),
                'RO' => $this->transactions->rolledBackTo($said[2]),
            };
        }
        return $affected;
    }
}
