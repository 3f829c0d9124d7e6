//! Every limit of the memory mesh, with its unit and its reason. Configuration may lower what says "default", never raise a ceiling.

use std::time::Duration;

/// Bytes of a namespace. Enough for `fleet.machine.agent` with long names; it is repeated in each key of a Redis.
pub const NAMESPACE_BYTES_MAX: usize = 128;
/// Bytes of a key. Keys of agents are names, ids and paths; a path may have 255 bytes twice.
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of a content type. RFC 6838 allows 127 before and after the slash; nobody has such.
pub const CONTENT_TYPE_BYTES_MAX: usize = 127;
/// Bytes of a value, default: 25 times the largest payload that was seen from an agent (38 kB of audio).
pub const VALUE_BYTES_DEFAULT: usize = 1 << 20;
/// Bytes of a value, whatever is configured: one value is in memory several times on its way, and holds up what waits behind it.
pub const VALUE_BYTES_CEILING: usize = 16 << 20;
/// Keys in one call (`get_many`, `set_many`, `delete_many`), and entries in one `append_many`: a Redis does them in one go, and nothing else
/// meanwhile.
pub const KEYS_PER_CALL_MAX: usize = 256;
/// Bytes of all values in one `set_many` or `append_many`, before encoding.
pub const CALL_BYTES_MAX: usize = 32 << 20;
/// Bytes of all entries in one answer of `get_many`, as they are stored and as they come out: 16 MiB, so that one entry always fits, and 64 KiB for what
/// is stored with each value. More at once holds up what else goes over the connection to a Redis until its caller has given up.
pub const READ_BYTES_MAX: usize = VALUE_BYTES_CEILING + KEYS_PER_CALL_MAX * 256;
/// Keys in one page of a scan.
pub const SCAN_PAGE_MAX: usize = 1024;
/// Entries in a window, default: what a context window of a language model takes of a conversation, and what the issue of a fleet's history asks.
pub const WINDOW_ENTRIES_DEFAULT: u32 = 100;
/// Entries in a window, at most. A window is trimmed in one step that nothing else passes; more than that is a stream of the bus.
pub const WINDOW_ENTRIES_CEILING: u32 = 10_000;
/// Age of a window's entries, default.
pub const WINDOW_AGE_DEFAULT: Duration = Duration::from_secs(3600);
/// Bytes of encoded entries in one answer of `recent`; one entry is always in it. The rest is the next page.
pub const RECENT_BYTES_MAX: usize = 4 << 20;
/// Bytes of the same entries when they are decoded: what was compressed a thousandfold comes out as large as it went in.
pub const RECENT_DECODED_BYTES_MAX: usize = 16 << 20;
/// Entries in one answer of `recent`.
pub const RECENT_ENTRIES_MAX: usize = 1024;
/// Time to live of what names none, default: a day, after which what nobody touched is of no use to a running fleet.
pub const TTL_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// The shortest time to live and age of a window: what a Redis can count.
pub const TTL_MIN: Duration = Duration::from_millis(1);
/// The longest time to live and age of a window that is not "forever": a hundred years, so that sums of times never overflow.
pub const TTL_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Bytes from which a value is worth trying to compress, default. Below that the header of a compressed form eats what it saves.
pub const COMPRESS_FROM_BYTES_DEFAULT: usize = 64;
/// Changes of one namespace (Redis) or of the whole store (embedded) that are kept for watchers. Who is further behind is told to resync.
pub const CHANGES_KEPT_MAX: usize = 16_384;
/// Changes that a store hands to a watcher at once, and entries that a watch reads ahead: with values of the default size 64 MiB at worst.
pub const CHANGES_PER_TURN_MAX: usize = 64;
/// How late an expiry may be noticed and told to watchers, on a machine that is not overloaded. Readers never see an expired entry, however late
/// it is noticed.
pub const EXPIRY_NOTICED_WITHIN: Duration = Duration::from_secs(2);
/// Memory of the embedded store for pages of its file, default.
pub const EMBEDDED_CACHE_BYTES_DEFAULT: usize = 32 << 20;
/// How long a watch asks its store before it asks again. Not seen by anybody; it bounds what a connection that died in silence costs.
pub const WATCH_TURN: Duration = Duration::from_secs(10);
/// What expired that the embedded store takes away in one commit: entries, and entries of windows.
pub const SWEEP_TURN_MAX: usize = 512;
/// Bytes of names and rows in the embedded store, default. Its file is larger by what a B-tree leaves free.
pub const EMBEDDED_BYTES_DEFAULT: u64 = 1 << 30;
/// Writes that wait for the embedded store, and that it makes durable with one sync. Another waits for room.
pub const EMBEDDED_QUEUE_WRITES: usize = 1024;
/// Bytes of records that wait for the embedded store; one call always fits.
pub const EMBEDDED_QUEUE_BYTES: usize = 2 * CALL_BYTES_MAX;
/// Bytes of records after which the embedded store takes no more into one commit.
pub const EMBEDDED_TURN_BYTES: usize = 8 << 20;
/// How long a write waits for room in that queue before it is refused.
pub const EMBEDDED_QUEUE_PATIENCE: Duration = Duration::from_secs(5);
/// Reads of the embedded store at the same time: more would only wait for the same disk.
pub const EMBEDDED_READS_MAX: usize = 16;
/// How often the embedded store looks for what expired, at most.
pub const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
/// How long a write of the relaxed embedded store may be only in memory.
pub const RELAXED_SYNC_WITHIN: Duration = Duration::from_secs(1);
/// How long the embedded store waits before it tries again to open its file, after that failed.
pub const REOPEN_INTERVAL: Duration = Duration::from_millis(500);
