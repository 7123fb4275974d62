// cluster.toml: the public description of a cluster, copied unchanged to every machine (contract: "A cluster on disk").
// Reading validates everything and names the field that is wrong and the remedy; unknown fields are errors.
// No threads, no network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "config/result.h"
#include "consensus/verifier.h"
#include "crypto/digest.h"
#include "crypto/signature.h"

namespace loyal::config {

enum class CrashMode : std::uint8_t { recovery, stop };

struct ReplicaEntry {
    std::uint16_t id = 0;
    crypto::PublicKey public_key;
    std::string advertise;  // host name, IPv4 or IPv6: what others dial
    std::string listen;     // what it binds
    std::uint16_t peer_port = 0;
    std::uint16_t client_port = 0;
    std::uint16_t http_port = 0;
};

struct ClientEntry {
    std::string name;
    crypto::PublicKey public_key;
    std::uint8_t rights = 0;  // kvstore's right_* bits; in the file: "read", "write", "admin"
};

struct Timers {  // ms; defaults of PROTOCOL.md §11, LAN
    std::uint64_t heartbeat_ms = 50;
    std::uint64_t order_latency_ms = 50;
    std::uint64_t progress_min_ms = 400;
    std::uint64_t progress_max_ms = 20'000;
    std::uint64_t precision_ms = 250;
    std::uint64_t message_delay_ms = 1'000;
};

struct Cluster {
    std::filesystem::path directory;  // of the file; keys, data and run folders are below it
    crypto::Digest cluster_id;        // hash of what DESIGN.md lists; checked against the file's fields when read
    std::string instance;             // random, hex
    std::uint32_t epoch = 0;
    consensus::FaultModel fault_model = consensus::FaultModel::byzantine;
    CrashMode crash_mode = CrashMode::recovery;
    bool experiments = false;  // injected faults allowed
    std::uint64_t window = 8;
    std::uint64_t log_quota_bytes = 0;  // 0: limits::log_quota_bytes
    Timers timers;
    std::vector<ReplicaEntry> replicas;  // in order of id, 0..n-1
    std::vector<ClientEntry> clients;

    [[nodiscard]] consensus::Membership membership() const;
    [[nodiscard]] std::filesystem::path replica_key_path(std::uint16_t id) const;
    [[nodiscard]] std::filesystem::path client_key_path(const std::string& name) const;
    [[nodiscard]] std::filesystem::path data_path(std::uint16_t id) const;
    [[nodiscard]] std::filesystem::path pid_path(std::uint16_t id) const;
    [[nodiscard]] std::filesystem::path log_path(std::uint16_t id) const;
};

[[nodiscard]] consensus::ClientId client_id_of(const crypto::PublicKey& key);
[[nodiscard]] crypto::Digest compute_cluster_id(const Cluster& cluster);

// `path` is the file or its folder.
[[nodiscard]] Result<Cluster> load_cluster(const std::filesystem::path& path);

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
};
struct InitReport {
    Cluster cluster;
    std::vector<std::string> warnings;  // an n that wastes a replica or tolerates no fault
};
// Writes the file, keys and the birth record of every data folder. Refuses a folder that already holds a cluster, and
// leaves nothing behind when it fails.
[[nodiscard]] Result<InitReport> init_cluster(const std::filesystem::path& directory, const InitOptions& options);

// Birth record: DATA/birth.json-like canonical file that binds a data folder to a cluster and a replica.
struct Birth {
    crypto::Digest cluster_id;
    std::uint16_t replica = 0;
};
[[nodiscard]] Result<void> write_birth(const std::filesystem::path& data, const Birth& birth);
// Errc::not_found: the folder or its record is missing. Errc::conflict: it belongs to another cluster or replica.
[[nodiscard]] Result<void> check_birth(const std::filesystem::path& data, const Birth& expected);

}  // namespace loyal::config
