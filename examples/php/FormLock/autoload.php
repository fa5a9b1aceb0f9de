<?php
// Finds the classes beside it. With Composer: "autoload": {"psr-4": {"FormLock\\": "FormLock/"}}.

spl_autoload_register(function (string $class): void {
    if (str_starts_with($class, 'FormLock\\')) {
        $file = __DIR__ . '/' . strtr(substr($class, strlen('FormLock\\')), '\\', '/') . '.php';
        if (is_file($file)) {
            require $file;
        }
    }
});
