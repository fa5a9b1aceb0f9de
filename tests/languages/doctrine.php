<?php
// A backend with Doctrine, SQLite and the examples' listener; does what its scenario says, and prints what was told after which commit.
// php doctrine.php EXAMPLES SCENARIO [ADDRESS]

use Doctrine\DBAL\DriverManager;
use Doctrine\ORM\EntityManager;
use Doctrine\ORM\Event\OnFlushEventArgs;
use Doctrine\ORM\Events;
use Doctrine\ORM\Mapping as ORM;
use Doctrine\ORM\ORMSetup;
use Doctrine\ORM\Tools\SchemaTool;
use FormLock\Doctrine\ChannelProvider;
use FormLock\Doctrine\CommitMiddleware;
use FormLock\Doctrine\EntityListener;
use FormLock\Doctrine\FieldsForSome;
use FormLock\Doctrine\PartOfForm;
use FormLock\Doctrine\Transactions;

error_reporting(E_ALL & ~E_DEPRECATED);
require 'Doctrine/ORM/autoload.php';
require 'Symfony/Component/Cache/autoload.php';
require $argv[1] . '/FormLock/autoload.php';
require $argv[1] . '/form_id.php';

#[ORM\Entity]
class Customer
{
    #[ORM\Id, ORM\GeneratedValue, ORM\Column]
    public ?int $id = null;
    #[ORM\Column]
    public string $name = 'Weber';
}

#[ORM\Entity]
class Invoice implements ChannelProvider
{
    #[ORM\Id, ORM\GeneratedValue, ORM\Column]
    public ?int $id = null;
    #[ORM\Column]
    public string $amount = '120.00';
    #[ORM\Column(nullable: true)]
    public ?DateTimeImmutable $due = null;
    #[ORM\ManyToOne(targetEntity: Customer::class)]
    public ?Customer $customer = null;

    public function channel(): ?string
    {
        return FormLock\topic('invoice', $this->id);
    }
}

#[ORM\Entity]
class Line implements PartOfForm
{
    #[ORM\Id, ORM\GeneratedValue, ORM\Column]
    public ?int $id = null;
    #[ORM\Column]
    public int $price = 1;
    #[ORM\ManyToOne(targetEntity: Invoice::class)]
    public ?Invoice $invoice = null;

    public function channel(): ?string
    {
        return $this->invoice?->channel();
    }

    public function fieldName(string $property): string
    {
        return "line-$this->id.$property";
    }
}

#[ORM\Entity]
class Offer implements FieldsForSome
{
    #[ORM\Id, ORM\GeneratedValue, ORM\Column]
    public ?int $id = null;
    #[ORM\Column]
    public int $price = 1;
    #[ORM\Column]
    public int $margin = 1;
    #[ORM\Column]
    public string $hash = 'a';
    #[ORM\Column(type: "integer"), ORM\Version]
    public int $version = 1;

    public function channel(): ?string
    {
        return FormLock\topic('offer', $this->id);
    }

    public function fieldsForSome(): array
    {
        return ['margin' => 'margins', 'hash' => null];
    }
}

#[ORM\Entity]
class Discount implements FieldsForSome, PartOfForm
{
    #[ORM\Id, ORM\GeneratedValue, ORM\Column]
    public ?int $id = null;
    #[ORM\Column]
    public int $percent = 1;
    public string $right = 'discounts';
    public string $prefix = 'discount.';

    public function channel(): ?string
    {
        return FormLock\topic('offer', 1);
    }

    public function fieldName(string $property): string
    {
        return $this->prefix . $property;
    }

    public function fieldsForSome(): array
    {
        return ['percent' => $this->right];
    }
}

$told = [];
$transactions = new Transactions(function (array $updates) use (&$told, $argv): void {
    $told[] = $updates;
    if (isset($argv[3])) {
        $told[] = (new FormLock\ReliablePusher($argv[3], withinMs: 10_000, source: 'doctrine'))->pushAll($updates);
    }
    if ($argv[2] === 'sender_raises') {
        throw new RuntimeException('down');
    }
});
$configuration = ORMSetup::createAttributeMetadataConfiguration([__DIR__], true);
if ($argv[2] !== 'no_middleware') {
    $configuration->setMiddlewares([new CommitMiddleware($transactions)]);
}
$connection = DriverManager::getConnection(['driver' => 'pdo_sqlite', 'memory' => true], $configuration);
$manager = new EntityManager($connection, $configuration);
$classes = array_map($manager->getClassMetadata(...), [Customer::class, Invoice::class, Line::class, Offer::class, Discount::class]);
(new SchemaTool($manager))->createSchema($classes);
$invoice = new Invoice();
$line = new Line();
$line->invoice = $invoice;
$offer = new Offer();
$discount = new Discount();
foreach ([$invoice, $line, $offer, $discount] as $one) {
    $manager->persist($one);
}
$manager->flush();
$shown = ['representation' => 'amount', 'for_some_twice' => 'price', 'part_and_whole' => 'amount'][$argv[2]] ?? null;
$representation = $shown !== null ? fn (object $entity) => [$shown => $entity->$shown] : null;
$manager->getEventManager()->addEventSubscriber(new EntityListener($transactions, $representation, $argv[2] === 'requests_only'));

$change = function (string $amount) use ($manager, $invoice): void {
    $invoice->amount = $amount;
    $manager->flush();
};
$scenarios = [
    'update' => fn () => $change('140.00'),
    'representation' => fn () => $change('140.00'),
    'requests_only' => fn () => $change('140.00'),
    'sender_raises' => fn () => $change('140.00'),
    'no_middleware' => fn () => $change('140.00'),
    'values' => function () use ($manager, $invoice): void {
        $invoice->due = new DateTimeImmutable('2026-11-25T00:00:00Z');
        $manager->persist($invoice->customer = new Customer());
        $manager->flush();
    },
    'insert' => function () use ($manager): void {
        $manager->persist(new Invoice());
        $manager->flush();
    },
    'delete' => function () use ($manager, $line, $invoice): void {
        $manager->remove($line);
        $manager->remove($invoice);
        $manager->flush();
    },
    'part' => function () use ($manager, $line, $invoice): void {
        $invoice->amount = '2';
        $line->price = 2;
        $manager->flush();
    },
    'part_deleted' => function () use ($manager, $line): void {
        $manager->remove($line);
        $manager->flush();
    },
    'part_and_whole' => function () use ($manager, $line, $change): void {
        $manager->wrapInTransaction(function () use ($line, $change): void {
            $change('140.00');
            $line->price = 2;
        });
    },
    'no_text' => function () use ($manager, $invoice): void {
        $manager->persist($invoice->customer = new Customer());
        $invoice->amount = "\xff";
        $manager->flush();
    },
    'for_some' => function () use ($manager, $offer, $discount): void {
        [$offer->price, $offer->margin, $offer->hash, $discount->percent] = [2, 2, 'b', 2];
        $manager->flush();
    },
    'never_told' => function () use ($manager, $offer): void {
        $offer->hash = 'b';
        $manager->flush();
    },
    'for_some_twice' => function () use ($manager, $offer, $discount): void {
        [$discount->prefix, $discount->right] = ['', 'prices'];
        $manager->wrapInTransaction(function () use ($manager, $offer, $discount): void {
            [$offer->margin, $discount->percent] = [2, 2];
            $manager->flush();
            $discount->right = 'discounts';
            $discount->percent = 3;
            $manager->flush();
            $offer->price = 3;
        });
    },
    'two_flushes' => function () use ($manager, $change): void {
        $manager->wrapInTransaction(function () use ($change): void {
            $change('130.00');
            $change('140.00');
        });
    },
    'there_and_back' => function () use ($manager, $change): void {
        $manager->wrapInTransaction(function () use ($change): void {
            $change('130.00');
            $change('120.00');
        });
    },
    'made_and_deleted' => function () use ($manager): void {
        $manager->wrapInTransaction(function () use ($manager): void {
            $manager->persist($other = new Invoice());
            $manager->flush();
            $manager->remove($other);
        });
    },
    'not_before' => function () use ($manager, $connection, $change, &$told): void {
        $connection->beginTransaction();
        $change('140.00');
        $told[] = 'flushed';
        $connection->commit();
    },
    'rolled_back' => function () use ($connection, $change): void {
        $connection->beginTransaction();
        $change('140.00');
        $connection->rollBack();
        // What comes after is not mixed up with it.
        $connection->beginTransaction();
        $connection->commit();
    },
    'flush_fails' => function () use ($manager, $connection, $invoice): void {
        $connection->executeStatement("CREATE TRIGGER no BEFORE UPDATE ON Line BEGIN SELECT RAISE(ABORT, 'no'); END");
        $connection->beginTransaction();
        $invoice->amount = '140.00';
        $manager->find(Line::class, 1)->price = 9;
        try {
            $manager->flush();
        } catch (Throwable) {
            $connection->rollBack();
        }
        $connection->beginTransaction();
        $connection->commit();
    },
    'savepoints' => function () use ($connection, $change): void {
        $connection->setNestTransactionsWithSavepoints(true);
        $connection->beginTransaction();
        $change('130.00');
        $connection->beginTransaction();
        $change('135.00');
        $connection->rollBack();
        $connection->commit();
    },
    'listener_raises' => function () use ($manager, $connection, $change): void {
        $manager->getEventManager()->addEventListener([Events::onFlush], new class {
            public function onFlush(OnFlushEventArgs $args): void
            {
                throw new DomainException('not today');
            }
        });
        try {
            $change('140.00');
        } catch (DomainException) {
        }
        $connection->beginTransaction();
        $connection->executeStatement('UPDATE Customer SET name = name');
        $connection->commit();
    },
];
$raised = null;
try {
    $scenarios[$argv[2]]();
} catch (Throwable $error) {
    $raised = $error::class;
}
echo json_encode(['told' => $told, 'raised' => $raised]);
