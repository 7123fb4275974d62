// Every bound of the system, in one place (PROTOCOL.md §17). Nothing that comes from a peer or a client is allocated
// before it was compared with one of these. Units are last in a name.
#pragma once

#include <cstddef>
#include <cstdint>

namespace loyal::limits {

// ---- Cluster
inline constexpr std::size_t replicas_min = 3;
inline constexpr std::size_t replicas_max = 31;
inline constexpr std::size_t clients_max = 1024;  // genesis clients in cluster.toml
inline constexpr std::size_t client_name_bytes_max = 64;
inline constexpr std::size_t known_clients_max = 10'000;  // with those that were added since
inline constexpr std::size_t grants_per_client_max = 64;

// ---- Data
inline constexpr std::size_t key_bytes_max = 480;  // below LMDB's 511, with room for a table prefix
inline constexpr std::size_t value_bytes_max = 1U << 20;
inline constexpr std::size_t envelope_ops_max = 256;        // k of C1
inline constexpr std::size_t result_inline_bytes_max = 64;  // results up to this are cached with the session (C4)
inline constexpr std::size_t txn_parts_max = 128;           // comparisons of a transaction, and operations of a branch
inline constexpr std::size_t delete_keys_max = 10'000;      // by one operation
// Longer than any key of a table may be, and within LMDB's 511: keys of a lease have its number before them.
inline constexpr std::size_t table_key_bytes_max = 500;

// ---- Leases and locks
inline constexpr std::uint64_t lease_ttl_ms_min = 1'000;
inline constexpr std::uint64_t lease_ttl_ms_max = std::uint64_t{366} * 24 * 3600 * 1000;
inline constexpr std::size_t lease_keys_max = delete_keys_max;  // attached to one; they end at one revision
inline constexpr std::size_t leases_per_client_max = 100'000;
inline constexpr std::size_t lock_queue_max = 256;
inline constexpr std::size_t lock_value_bytes_max = 1024;
// A gap between two blocks counts as no more than this for leases: a cluster that stalled expires nobody early.
inline constexpr std::uint64_t lease_step_ms_max = 2'000;
inline constexpr std::uint64_t lease_tick_ms = 1'000;  // so often there is a block while there are leases

// ---- History of the state
inline constexpr std::uint64_t history_revisions_min = 100;
inline constexpr std::uint64_t history_revisions_default = 100'000;
inline constexpr std::uint64_t history_revisions_max = 100'000'000;
inline constexpr std::uint64_t history_bytes_max = std::uint64_t{1} << 30;
// Previous values that the history keeps of one block; what is more is forgotten at once, as by a compaction.
inline constexpr std::size_t history_block_bytes_max = 4U << 20;
inline constexpr std::size_t history_group_bytes = 16U << 10;  // a record of the history is closed here

// ---- Envelopes and blocks
inline constexpr std::size_t envelope_overhead_bytes_max = 256;
inline constexpr std::size_t operation_overhead_bytes_max = 64;
// A compare-and-set carries an expected and a new value.
inline constexpr std::size_t envelope_bytes_max =
    envelope_overhead_bytes_max + operation_overhead_bytes_max + key_bytes_max + 2 * value_bytes_max;
inline constexpr std::size_t body_bytes_max = 3U << 20;     // one largest envelope always fits an empty body
inline constexpr std::size_t body_bytes_target = 1U << 20;  // a leader closes a batch here (B2)
inline constexpr std::size_t block_envelopes_max = 2000;
inline constexpr std::size_t block_ops_max = 4000;  // B2's "2000 ops" is where a leader stops adding envelopes
inline constexpr std::size_t block_ops_target = 2000;
static_assert(envelope_bytes_max + 4 <= body_bytes_max, "the largest admissible envelope fits an empty body");
static_assert(block_ops_target + envelope_ops_max <= block_ops_max);

// ---- Frames
inline constexpr std::size_t frame_bytes_max = 4U << 20;
static_assert(body_bytes_max + (64U << 10) <= frame_bytes_max, "a full block fits a frame");

// ---- Protocol window
inline constexpr std::uint64_t window_max = 32;  // W; the option window is 1..window_max
inline constexpr std::uint64_t window_default = 8;
inline constexpr std::size_t fetch_blocks_max = 64;  // headers in one BLOCKS answer
inline constexpr std::size_t fetch_bytes_max = 3U << 20;
inline constexpr std::uint64_t view_max = std::uint64_t{1} << 62;
inline constexpr std::uint64_t height_max = std::uint64_t{1} << 62;

// ---- Sessions (C1, C4)
inline constexpr std::size_t session_window = 1024;  // outstanding operations of one session
// A session lives for E after its last operation, and every run of a command-line client is one: this many a client
// are 72 runs a second. What they remember is bounded separately.
inline constexpr std::size_t sessions_per_client_max = std::size_t{64} << 10U;
inline constexpr std::size_t remembered_operations_per_client_max = 4 * sessions_per_client_max;
inline constexpr std::size_t client_outstanding_envelopes_max = 64;
inline constexpr std::size_t client_outstanding_bytes_max = 8U << 20;
inline constexpr std::size_t session_envelopes_in_flight = 2;
inline constexpr std::uint64_t session_horizon_ms = 15 * 60 * 1000;  // E

// ---- Queues and memory
inline constexpr std::size_t peer_inbound_bytes_max = 8U << 20;
inline constexpr std::size_t peer_outbound_bytes_max = 32U << 20;
inline constexpr std::size_t client_connections_max = 1024;
inline constexpr std::size_t client_inbound_bytes_max = 8U << 20;
inline constexpr std::size_t client_outbound_bytes_max = 16U << 20;
inline constexpr std::size_t envelope_pool_max = 8192;
inline constexpr std::size_t envelope_pool_bytes_max = 64U << 20;
// Shares of one client in what waits: a greedy one starves nobody.
inline constexpr std::size_t envelope_pool_of_client_max = envelope_pool_max / 4;
inline constexpr std::size_t envelope_pool_bytes_of_client_max = envelope_pool_bytes_max / 4;
inline constexpr std::size_t pending_reads_max = 4096;
inline constexpr std::size_t pending_reads_of_link_max = pending_reads_max / 4;
inline constexpr std::size_t read_keys_max = 256;
inline constexpr std::size_t range_items_max = 1000;  // one page of a range read
inline constexpr std::size_t range_bytes_max = 2U << 20;
inline constexpr std::size_t overlay_bytes_max = 64U << 20;
inline constexpr std::size_t verify_queue_max = 4096;
static_assert(peer_inbound_bytes_max >= 2 * frame_bytes_max);
static_assert(peer_outbound_bytes_max >= 4 * frame_bytes_max);
static_assert(range_bytes_max + value_bytes_max <= frame_bytes_max);

// ---- Receipts (PROTOCOL.md P3): what a replica keeps of the last blocks in order to prove their results
inline constexpr std::size_t receipt_heights_max = 1024;
inline constexpr std::size_t receipt_bytes_max = std::size_t{64} << 20;
// ---- Watches (docs/WATCH.md)
inline constexpr std::size_t watches_per_link_max = 16'384;
inline constexpr std::size_t watches_max = 100'000;               // at one replica, of all clients
inline constexpr std::size_t watch_run_changes_max = 1'000;       // told in one message
inline constexpr std::size_t watch_run_bytes_max = 1U << 20;      // a run ends here; its last change may go beyond
inline constexpr std::size_t watch_backlog_bytes_max = 4U << 20;  // a link with more to write is told no more events
inline constexpr std::size_t watch_recent_bytes_max = 16U << 20;  // changes that a replica keeps at hand
inline constexpr std::size_t watch_reads_max = 128;               // of the history, under way at once
inline constexpr std::size_t watch_read_bytes_max = 64U << 10;    // of one of them, unless a single change has more
inline constexpr std::uint64_t watch_progress_ms = 100;
// What a client keeps of one replica's word, of all its watches, until enough others say the same.
inline constexpr std::size_t watch_ahead_bytes_max = 16U << 20;
static_assert(watch_run_bytes_max + 2 * value_bytes_max + key_bytes_max + (256U << 10) <= frame_bytes_max);
static_assert(watch_backlog_bytes_max + 2 * frame_bytes_max <= client_outbound_bytes_max);

// ---- Operators
inline constexpr std::size_t control_command_bytes_max = 4096;
inline constexpr std::size_t control_text_bytes_max = 2U << 20;
static_assert(control_text_bytes_max <= frame_bytes_max / 2);

// ---- State transfer (PROTOCOL.md §13 S6)
inline constexpr std::size_t state_names_max = 1024;  // records asked for at once
inline constexpr std::size_t state_buckets_max = 64;  // buckets whose leaves are asked for at once
inline constexpr std::size_t state_chunk_bytes_max = std::size_t{2} << 20;
// A value and what stands around it; of the history, what else is in its record.
inline constexpr std::size_t state_record_bytes_max = value_bytes_max + (64U << 10);
inline constexpr std::uint64_t checkpoint_interval_default = 8192;  // C, in heights
inline constexpr std::uint64_t checkpoint_interval_max = 1'000'000;
static_assert(state_chunk_bytes_max + state_record_bytes_max <= frame_bytes_max);

// ---- Evidence (PROTOCOL.md §16)
inline constexpr std::size_t evidence_bytes_max = 64U << 10;  // of one: two statements, and a path between them
inline constexpr std::size_t evidence_kept_max = 256;         // a replica; a few of each culprit are enough
inline constexpr std::size_t evidence_per_culprit_max = 16;

// ---- Experiments
inline constexpr std::size_t message_trace_max = 8192;  // messages that a replica remembers for the lab

// ---- Disk
inline constexpr std::size_t lmdb_map_bytes = std::size_t{1} << 40;  // sparse; set once, never resized
inline constexpr std::uint64_t log_quota_bytes = std::uint64_t{64} << 30;
inline constexpr std::uint64_t disk_reserve_bytes = std::uint64_t{256} << 20;  // below this, writes are refused

}  // namespace loyal::limits
