<?php
/* A small shop behind the line: PHP 8 with sodium, no dependencies. README.md explains it.
 *
 *   php -S 127.0.0.1:3000 shop.php     the pages (PHP_CLI_SERVER_WORKERS=4 for several requests at a time)
 *   php shop.php follow                our table of orders follows the feed of events, and payments go on after a crash
 *
 * Environment: SALE_URL, KEY, SALE, LINE, AUDIENCE ("campaign/channel"), DATA (the file of orders).
 */
declare(strict_types=1);

const SKEW_S = 30;

function setting(string $name, string $default = ''): string
{
    return getenv($name) ?: $default;
}

// --- Our table of orders: a file under a lock. A real shop has a database. ----------------------------------------

/** Runs $change on the orders while no other process can, and stores what it has changed. */
function orders(callable $change): mixed
{
    $file = fopen(setting('DATA', 'orders.json'), 'c+');
    flock($file, LOCK_EX);
    $db = json_decode(stream_get_contents($file) ?: '', true) ?: ['after' => '', 'orders' => []];
    $before = $db;
    $result = $change($db);
    if ($db !== $before) {
        $text = json_encode($db, JSON_PRETTY_PRINT);
        rewind($file);
        fwrite($file, $text);
        ftruncate($file, strlen($text));
        fflush($file);
    }
    fclose($file);
    return $result;
}

function fresh_order(): array
{
    return ['state' => 'held', 'sequence' => 0, 'payment' => ''];
}

// --- Calls of the API -----------------------------------------------------------------------------------------------

/** Sends a request. With a key of its own, the same request goes again until there is an answer: [status, document]. */
function call(string $method, string $path, ?array $body = null, string $key = ''): array
{
    for ($tries = 1; ; $tries++) {
        $headers = ['Authorization: Bearer ' . setting('KEY'), 'Accept: application/json'];
        $options = ['method' => $method, 'timeout' => 20, 'ignore_errors' => true];
        if ($body !== null) {
            $headers[] = 'Content-Type: application/json';
            $options['content'] = json_encode($body);
        }
        if ($key !== '') {
            $headers[] = "Idempotency-Key: $key";
        }
        $http_response_header = [];
        $text = @file_get_contents(setting('SALE_URL') . $path, false, stream_context_create(['http' => $options + ['header' => $headers]]));
        $status = preg_match('#^HTTP/\S+ (\d+)#', $http_response_header[0] ?? '', $found) ? (int) $found[1] : 503;
        $document = $text === false ? null : json_decode($text, true);
        if (is_array($document) && $status !== 202 && $status !== 429 && $status < 500) {
            return [$status, $document];
        }
        if ($tries === 5) {
            return [is_array($document) ? $status : 503, is_array($document) ? $document : []];
        }
        preg_match('/^Retry-After: (\d+)$/mi', implode("\n", $http_response_header), $wait);
        sleep((int) ($wait[1] ?? $tries));
    }
}

// --- Passes -----------------------------------------------------------------------------------------------------------

function base64url(string $text): string
{
    return (string) base64_decode(strtr($text, '-_', '+/'), true);
}

/** The public key with this id, '' if the server has none. A real shop keeps the keys for some minutes. */
function public_key(string $kid): string
{
    [, $document] = call('GET', '/v1/keys');
    foreach ($document['keys'] ?? [] as $key) {
        if ($key['kid'] === $kid && $key['crv'] === 'Ed25519') {
            return base64url($key['x']);
        }
    }
    return '';
}

/** The claims of a pass for this shop, or null. The API checks all of it again: this only saves calls. */
function read_pass(string $text): ?array
{
    $parts = explode('.', $text);
    if (count($parts) !== 3) {
        return null;
    }
    $header = json_decode(base64url($parts[0]), true);
    $claims = json_decode(base64url($parts[1]), true);
    $signature = base64url($parts[2]);
    if (!is_array($header) || !is_array($claims) || strlen($signature) !== SODIUM_CRYPTO_SIGN_BYTES) {
        return null;
    }
    if (($header['alg'] ?? '') !== 'EdDSA' || ($header['typ'] ?? '') !== 'flashsale-pass+jwt') {
        return null;
    }
    $key = public_key((string) ($header['kid'] ?? ''));
    if (strlen($key) !== SODIUM_CRYPTO_SIGN_PUBLICKEYBYTES) {
        return null;
    }
    if (!sodium_crypto_sign_verify_detached($signature, "$parts[0].$parts[1]", $key)) {
        return null;
    }
    $fits = ($claims['aud'] ?? '') === setting('AUDIENCE') && ($claims['exp'] ?? 0) > time() - SKEW_S;
    return $fits ? $claims : null;
}

// --- Payment: replace these with your payment provider ------------------------------------------------------------------

function authorise(): string
{
    return bin2hex(random_bytes(16));
}

function capture(string $payment): void
{
}

function cancel(string $payment): void
{
}

function give_back(string $payment): string
{
    return "back-$payment";
}

/**
 * Pays an order. Each step is written down before the next one, so `follow` can go on after a crash.
 *
 * 1. The payment is authorised: the money is reserved, and not taken yet.
 * 2. The line confirms the order, with the reference of the payment. Only now the units are sold.
 * 3. The money is taken. If the line refuses, it is given free.
 */
function pay(string $id, array $buyer, int $amount): array
{
    $began = orders(function (array &$db) use ($id, $buyer, $amount): bool {
        $row = &$db['orders'][$id];
        $row ??= fresh_order();
        if ($row['payment'] !== '' || $row['state'] !== 'held') {
            return false;
        }
        $row['payment'] = authorise();
        $row['request'] = [
            'identity' => ['phone' => $buyer['phone'], 'email' => $buyer['email'], 'address' => $buyer['address']],
            'contact' => ['name' => $buyer['name'], 'address' => $buyer['address'], 'phone' => $buyer['phone'], 'email' => $buyer['email']],
            'language' => 'id', 'price' => $amount, 'method' => 'partner', 'instrument' => $row['payment'],
        ];
        return true;
    });
    return $began ? finish($id) : [409, ['title' => 'Sedang diproses']];
}

/** Sends the request that is written down. Two processes may do it at once: it has one effect. */
function finish(string $id): array
{
    $row = orders(fn(array &$db) => $db['orders'][$id]);
    if (!isset($row['request'])) {
        return [409, ['title' => 'Sedang diproses']];
    }
    [$status, $document] = call('POST', "/v1/reservations/$id/confirm", $row['request'], "pay-{$row['payment']}");
    $paid = $status === 200 && $document['state'] === 'confirmed';
    // These answers do not settle the payment: the key, the time or the server is not right.
    if (!$paid && ($status >= 500 || $status === 200 || $status === 202 || in_array($status, [401, 408, 429], true))) {
        return [$status, $document];
    }
    $paid ? capture($row['payment']) : cancel($row['payment']);
    orders(function (array &$db) use ($id, $paid, $row): void {
        if ($db['orders'][$id]['payment'] === $row['payment']) {
            $db['orders'][$id]['payment'] = $paid ? $row['payment'] : '';
            $db['orders'][$id]['state'] = $paid ? 'confirmed' : $db['orders'][$id]['state'];
            unset($db['orders'][$id]['request']);
        }
    });
    return [$status, $document];
}

/** Sends money back that the line asks for, and says that it is done. Safe to repeat. */
function refund(string $id, array $row): void
{
    $body = ['refund' => $row['refund'], 'reference' => give_back($row['payment'])];
    [$status] = call('POST', "/v1/reservations/$id/refund", $body, "refund-{$row['refund']}");
    if ($status === 200) {
        orders(function (array &$db) use ($id): void {
            unset($db['orders'][$id]['refund']);
        });
    }
}

// --- The feed of events keeps our table right, whatever we have missed -----------------------------------------------------

function follow(): never
{
    for (;;) {
        $after = orders(fn(array &$db) => $db['after']);
        [$status, $page] = call('GET', '/v1/events' . ($after !== '' ? '?after=' . rawurlencode($after) : ''));
        orders(function (array &$db) use ($status, $page): void {
            if ($status === 404) {
                $db['after'] = '';
            }
            foreach ($status === 200 ? $page['results'] : [] as $event) {
                if ($event['reservation'] === null) {
                    continue;
                }
                $row = &$db['orders'][$event['reservation']];
                $row ??= fresh_order();
                if ($event['sequence'] > $row['sequence']) {
                    $row['sequence'] = $event['sequence'];
                    [$what, $how] = explode('.', $event['type']);
                    if ($what === 'reservation') {
                        $row['state'] = $how === 'restored' ? 'confirmed' : $how;
                    }
                    if ($event['type'] === 'refund.sent') {
                        $row['refund'] = $event['data']['refund'];
                    }
                }
                unset($row);
            }
            $db['after'] = $status === 200 ? $page['after'] : $db['after'];
        });
        if ($status === 200 && $page['more']) {
            continue;
        }
        foreach (orders(fn(array &$db) => $db['orders']) as $id => $row) {
            if (isset($row['request'])) {
                finish($id);
            }
            if (isset($row['refund'])) {
                refund($id, $row);
            }
        }
        sleep(1);
    }
}

// --- Pages ------------------------------------------------------------------------------------------------------------------

function escape(mixed $text): string
{
    return htmlspecialchars((string) $text, ENT_QUOTES);
}

function page(int $status, string $body): void
{
    $url = setting('SALE_URL');
    http_response_code($status);
    header('Content-Type: text/html; charset=utf-8');
    header("Content-Security-Policy: default-src 'none'; script-src $url; connect-src $url; frame-src $url; form-action 'self'; base-uri 'none'");
    header('Cache-Control: no-store');
    header('Referrer-Policy: same-origin');
    header('X-Content-Type-Options: nosniff');
    echo "<!doctype html><html lang=\"id\"><meta charset=\"utf-8\"><title>Toko</title><main>$body</main></html>";
}

function line_url(): string
{
    return escape(setting('SALE_URL') . '/s/' . setting('SALE') . '/');
}

function back(): string
{
    return '<p><a href="' . line_url() . '">Kembali ke antrean</a></p>';
}

function home(): void
{
    $asked = $_GET['ticket'] ?? '';
    $ticket = is_string($asked) && preg_match('/^\d{1,8}$/D', $asked) ? " index=\"$asked\"" : '';
    page(200, '<h1>Toko</h1><script src="' . escape(setting('SALE_URL')) . '/snippet.js" defer></script>'
        . '<flashsale-line sale="' . escape(setting('SALE')) . '" line="' . escape(setting('LINE')) . "\"$ticket>"
        . '<a href="' . line_url() . '">Masuk antrean</a></flashsale-line>'
        . '<form><label>Nomor tiket <input name="ticket" inputmode="numeric"></label> <button>Lihat</button></form>');
}

/** The browser comes from the line with a pass in the body. It goes on with a session, so that a reload sends no pass. */
function arrive(): void
{
    $text = $_POST['pass'] ?? '';
    if (!is_string($text) || read_pass($text) === null) {
        page(400, '<h1>Tiket masuk tidak berlaku</h1>' . back());
        return;
    }
    // A key for this visit. A key that is made from the pass would let a thief of the pass repeat our request.
    [$status, $redeemed] = call('POST', '/v1/passes/redeem', ['pass' => $text], bin2hex(random_bytes(16)));
    if ($status !== 200) {
        page($status, '<h1>' . escape($redeemed['title'] ?? 'Coba lagi') . '</h1>' . back());
        return;
    }
    $reservation = $redeemed['reservation'];
    session_regenerate_id(true);
    $_SESSION['visit'] = ['id' => $reservation['id'], 'number' => $redeemed['number'], 'amount' => $reservation['amount'], 'until' => $reservation['deadline_at']];
    orders(function (array &$db) use ($reservation, $redeemed): void {
        $row = &$db['orders'][$reservation['id']];
        $row ??= fresh_order();
        $row['visit'] = $redeemed['number'];
    });
    header('Cache-Control: no-store');
    header('Location: /checkout', true, 303);
}

/** The visit of this browser, null if it has none or if a newer pass of the same reservation was redeemed elsewhere. */
function visit(): ?array
{
    $visit = $_SESSION['visit'] ?? null;
    $newest = $visit ? orders(fn(array &$db) => $db['orders'][$visit['id']]['visit'] ?? 0) : 0;
    return $visit && $visit['number'] === $newest ? $visit : null;
}

function checkout(?array $visit, string $message = ''): void
{
    if ($visit === null) {
        page(403, '<h1>Tidak ada pesanan</h1>' . back());
        return;
    }
    $_SESSION['token'] ??= bin2hex(random_bytes(16));
    page($message === '' ? 200 : 422, '<h1>Bayar</h1><p role="alert">' . escape($message) . '</p>'
        . '<p>Total: Rp ' . number_format($visit['amount'], 0, ',', '.') . '. Bayar sebelum ' . escape($visit['until']) . '.</p>'
        . '<form method="post" action="/pay"><input type="hidden" name="token" value="' . $_SESSION['token'] . '">'
        . '<label>Nama <input name="name" required></label><label>Alamat <input name="address" required></label>'
        . '<label>Telepon <input name="phone" type="tel" required></label><label>E-mail <input name="email" type="email" required></label>'
        . '<button>Bayar</button></form>');
}

function pay_now(): void
{
    $visit = visit();
    $token = $_POST['token'] ?? '';
    if ($visit === null || !is_string($token) || !hash_equals($_SESSION['token'] ?? '', $token)) {
        checkout(null);
        return;
    }
    $buyer = [];
    foreach (['name', 'address', 'phone', 'email'] as $field) {
        $buyer[$field] = is_string($_POST[$field] ?? null) ? $_POST[$field] : '';
    }
    [$status, $document] = pay($visit['id'], $buyer, $visit['amount']);
    if ($status === 200) {
        page(200, '<h1>Terima kasih</h1><p>Pesanan ' . escape($visit['id']) . ' sudah dibayar.</p>');
    } else {
        checkout($visit, $document['title'] ?? 'Coba lagi');
    }
}

if (PHP_SAPI === 'cli') {
    follow();
}
session_set_cookie_params(['httponly' => true, 'samesite' => 'Lax', 'secure' => str_starts_with(setting('SALE_URL'), 'https')]);
session_start();
match ($_SERVER['REQUEST_METHOD'] . ' ' . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    'GET /' => home(),
    'POST /checkout' => arrive(),
    'GET /checkout' => checkout(visit()),
    'POST /pay' => pay_now(),
    default => page(404, '<h1>Tidak ditemukan</h1>' . back()),
};
