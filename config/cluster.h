// cluster.toml: the public description of a cluster, copied unchanged to every machine (contract: "A cluster on disk").
// Reading validates everything and names the field that is wrong and the remedy; unknown fields are errors.
// No threads, no network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "config/limits.h"
#include "config/result.h"
#include "consensus/verifier.h"
#include "crypto/digest.h"
#include "crypto/signature.h"

namespace loyal::config {

// Parts of the cluster id: what replicas must agree on before they may exchange a signature. A release that changes one
// of them forms a cluster of another kind.
struct ProtocolRules {
    std::uint16_t protocol_version = 1;
    std::string hash = "blake2b-256";
    std::string signature = "ed25519-libsodium-1.0.18";  // its acceptance of edge cases is a consensus rule
};

// Equal to kvstore's right_* bits, which this library cannot see; a test compares them.
inline constexpr std::uint8_t right_read = 1;
inline constexpr std::uint8_t right_write = 2;
inline constexpr std::uint8_t right_admin = 4;
// "read,write,admin" in any order, or their first letters, as in "rw".
[[nodiscard]] Result<std::uint8_t> parse_rights(std::string_view text);
[[nodiscard]] std::vector<std::string> names_of_rights(std::uint8_t rights);

enum class CrashMode : std::uint8_t { recovery, stop };

struct ReplicaEntry {
    std::uint16_t id = 0;
    crypto::PublicKey public_key;
    std::string advertise;  // host name, IPv4 or IPv6: what others dial
    std::string listen;     // what it binds
    std::uint16_t peer_port = 0;
    std::uint16_t client_port = 0;
    std::uint16_t http_port = 0;
    std::string fault;  // experiments only: a fault line that is in force from the start; empty: none
};

struct ClientEntry {
    std::string name;
    crypto::PublicKey public_key;
    std::uint8_t rights = 0;  // right_* bits; in the file: "read", "write", "admin"
};

struct Timers {  // ms; defaults of PROTOCOL.md §11, LAN
    std::uint64_t heartbeat_ms = 50;
    std::uint64_t order_latency_ms = 50;
    std::uint64_t progress_min_ms = 400;
    std::uint64_t progress_max_ms = 20'000;
    std::uint64_t precision_ms = 250;
    std::uint64_t message_delay_ms = 1'000;
    bool adaptive = true;  // in the file: detector = "adaptive" or "fixed"
    double phi_threshold = 8;
    std::uint64_t tenure_ms = 30'000;  // 0: a primary stays until it is deposed
    std::uint64_t tenure_blocks = 50'000;
    std::uint64_t recovery_rotation_ms = 10'000;  // between planned view changes for a replica that lost its votes (A4)
};

struct Cluster {
    std::filesystem::path directory;  // of the file; keys, data and run folders are below it
    crypto::Digest
        cluster_id;        // hash of the fields listed in config/id.cpp; checked against the file's fields when read
    std::string instance;  // random, hex
    std::uint32_t epoch = 0;
    consensus::FaultModel fault_model = consensus::FaultModel::byzantine;
    CrashMode crash_mode = CrashMode::recovery;
    bool experiments = false;  // injected faults allowed
    // A cluster that was restored from a backup is born with a state; parts of the id, in the file as genesis_state and
    // genesis_cluster. Zero: born empty.
    crypto::Digest genesis_state;    // its root, at height 0
    crypto::Digest genesis_cluster;  // whose id the salt of the state's digests is made of
    std::uint64_t window = 8;
    std::uint64_t log_quota_bytes = 0;  // 0: see log_quota_of()
    // C: heights between two checkpoints of the state; all replicas must agree on it, and on window.
    std::uint64_t checkpoint_interval = limits::checkpoint_interval_default;
    std::uint64_t history_revisions = limits::history_revisions_default;  // older ones are forgotten; as the one above
    Timers timers;
    std::vector<ReplicaEntry> replicas;  // in order of id, 0..n-1
    std::vector<ClientEntry> clients;

    [[nodiscard]] consensus::Membership membership() const;
    // For kvstore::salt_of.
    [[nodiscard]] const crypto::Digest& salt_id() const {
        return genesis_cluster.is_zero() ? cluster_id : genesis_cluster;
    }
    [[nodiscard]] std::filesystem::path replica_key_path(std::uint16_t id) const;
    [[nodiscard]] std::filesystem::path client_key_path(const std::string& name) const;
    [[nodiscard]] std::filesystem::path data_path(std::uint16_t id) const;
    [[nodiscard]] std::filesystem::path pid_path(std::uint16_t id) const;
    [[nodiscard]] std::filesystem::path log_path(std::uint16_t id) const;
};

using consensus::client_id_of;
// H("cluster", ...) of exactly: instance, protocol version, fault model, n, replica ids and keys, genesis clients
// (name, key, rights; in order of name), the two rules, and the genesis state when there is one. Not of addresses,
// ports, timers or limits.
[[nodiscard]] crypto::Digest compute_cluster_id(const Cluster& cluster, const ProtocolRules& rules = {});

// `path` is the file or its folder. Errc::not_found when there is none, invalid_argument when its content is wrong.
[[nodiscard]] Result<Cluster> load_cluster(const std::filesystem::path& path);
// The text of a cluster.toml; `path` is where it is from, for messages and as the cluster's folder.
[[nodiscard]] Result<Cluster> parse_cluster(std::string_view text, const std::filesystem::path& path);
// The same text for the same cluster, always.
[[nodiscard]] std::string render_cluster(const Cluster& cluster);

struct ClientRequest {
    std::string name;
    std::uint8_t rights = 0;
};
struct InitOptions {
    std::size_t replicas = 4;
    consensus::FaultModel fault_model = consensus::FaultModel::byzantine;
    CrashMode crash_mode = CrashMode::recovery;
    std::uint16_t base_port = 7400;  // 0: free ports
    std::vector<std::string> hosts;  // one a replica; empty: 127.0.0.1
    bool experiments = false;
    std::vector<ClientRequest> clients;  // besides `default` and `admin`
    std::uint64_t checkpoint_interval = limits::checkpoint_interval_default;
    std::uint64_t history_revisions = limits::history_revisions_default;
    // A restored cluster: see Cluster. `fill_data` puts the state into the data folder of each replica, in which only
    // the birth record is yet; what it left there is removed when init fails.
    crypto::Digest genesis_state;
    crypto::Digest genesis_cluster;
    std::function<Result<void>(const Cluster& cluster, std::uint16_t id)> fill_data;
};
struct InitReport {
    Cluster cluster;
    std::vector<std::string> warnings;  // an n that wastes a replica or tolerates no fault; keys that were kept
};
// Writes the file, keys and the birth record of every data folder, durably, and the file last: a folder with a
// cluster.toml is complete. Keys that are already there are kept (`loyal cluster wipe --keep-keys`); a folder that
// holds a cluster or anybody's data is refused (Errc::conflict). Leaves nothing behind when it fails.
[[nodiscard]] Result<InitReport> init_cluster(const std::filesystem::path& directory, const InitOptions& options);

// Birth record: the small text file DATA/birth, which binds a data folder to a cluster and a replica. It is how a
// replica tells a lost disk from a new one.
struct Birth {
    crypto::Digest cluster_id;
    std::uint16_t replica = 0;
};
// Creates the folder, 0700, if it is missing. Never replaces: Errc::conflict when the folder holds anything.
[[nodiscard]] Result<void> write_birth(const std::filesystem::path& data, const Birth& birth);
// Errc::not_found: the folder or its record is missing. Errc::conflict: it belongs to another cluster or replica.
// Errc::corrupted: the record is damaged.
[[nodiscard]] Result<void> check_birth(const std::filesystem::path& data, const Birth& expected);

}  // namespace loyal::config
