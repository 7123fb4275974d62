#include "config/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "config/limits.h"
#include "config/log_quota.h"
#include "consensus/quorum.h"
#include "crypto/identity.h"

namespace loyal::config {
namespace {

using consensus::FaultModel;
using consensus::Quorum;

Result<void> check_ids(const Cluster& cluster) {
    std::set<std::uint16_t> seen;
    for (const auto& replica : cluster.replicas) {
        if (!seen.insert(replica.id).second) {
            return invalid(fmt::format("[[replica]] id: {} is used twice; give every replica an id of its own, 0 to {}",
                                       replica.id, cluster.replicas.size() - 1));
        }
    }
    if (*seen.rbegin() + std::size_t{1} != cluster.replicas.size()) {
        return invalid(fmt::format("[[replica]] id: {} is out of place; {} replicas have the ids 0 to {}",
                                   *seen.rbegin(), cluster.replicas.size(), cluster.replicas.size() - 1));
    }
    return {};
}

Result<void> check_keys(const Cluster& cluster) {
    std::map<crypto::PublicKey, std::string> owners;
    const auto add = [&owners](const crypto::PublicKey& key, std::string owner) -> Result<void> {
        if (!crypto::is_valid_public_key(key)) {
            return invalid(owner + " public_key: not an Ed25519 public key; copy it from the key file");
        }
        const auto [place, added] = owners.emplace(key, owner);
        if (!added) {
            return invalid(
                fmt::format("{} public_key: the same key as that of {}; every replica and client needs a "
                            "key of its own",
                            owner, place->second));
        }
        return {};
    };
    for (const auto& replica : cluster.replicas) {
        if (auto added = add(replica.public_key, fmt::format("[[replica]] {}", replica.id)); !added) {
            return added;
        }
    }
    for (const auto& client : cluster.clients) {
        if (auto added = add(client.public_key, fmt::format("[[client]] {}", client.name)); !added) {
            return added;
        }
    }
    return {};
}

// Two names of one machine cannot be told from two machines; equal ones can.
std::string machine_of(const ReplicaEntry& replica) {
    std::string name = replica.advertise;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return name == "localhost" || name == "::1" ? "127.0.0.1" : name;
}

Result<void> check_ports(const Cluster& cluster) {
    std::map<std::pair<std::string, std::uint16_t>, std::string> owners;
    for (const auto& replica : cluster.replicas) {
        const std::pair<const char*, std::uint16_t> ports[] = {
            {"peer_port", replica.peer_port}, {"client_port", replica.client_port}, {"http_port", replica.http_port}};
        for (const auto& [field, port] : ports) {
            const auto owner = fmt::format("[[replica]] {} {}", replica.id, field);
            if (port == 0) {
                return invalid(owner + ": 0 is not a port; give one from 1 to 65535");
            }
            const auto [place, added] = owners.emplace(std::pair(machine_of(replica), port), owner);
            if (!added) {
                return invalid(fmt::format("{}: port {} of host {} is already that of {}; give each its own", owner,
                                           port, replica.advertise, place->second));
            }
        }
    }
    return {};
}

Result<void> check_hosts(const Cluster& cluster) {
    for (const auto& replica : cluster.replicas) {
        for (const auto& [field, host] :
             {std::pair("advertise", &replica.advertise), std::pair("listen", &replica.listen)}) {
            if (!is_valid_host(*host)) {
                return invalid(
                    fmt::format("[[replica]] {} {}: \"{}\" is no host name or address; write it without "
                                "port and brackets",
                                replica.id, field, *host));
            }
        }
        if (replica.advertise == "0.0.0.0" || replica.advertise == "::") {
            return invalid(fmt::format("[[replica]] {} advertise: nobody can dial {}; name the host as others reach it",
                                       replica.id, replica.advertise));
        }
    }
    return {};
}

// What the line means, the replica finds out when it starts; here it is only a line that the file can hold.
Result<void> check_faults(const Cluster& cluster) {
    for (const auto& replica : cluster.replicas) {
        const bool plain = std::all_of(replica.fault.begin(), replica.fault.end(),
                                       [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
        if (!plain || replica.fault.size() > limits::control_command_bytes_max) {
            return invalid(fmt::format("[[replica]] {} fault: not a fault line; write one such as \"byzantine silent\"",
                                       replica.id));
        }
        if (!replica.fault.empty() && !cluster.experiments) {
            return invalid(
                fmt::format("[[replica]] {} fault: this cluster does not allow experiments; take the field away, or "
                            "set experiments = true in [cluster]",
                            replica.id));
        }
    }
    return {};
}

Result<void> check_clients(const Cluster& cluster) {
    if (cluster.clients.empty()) {
        return invalid("[[client]]: there is none; a cluster without clients can never be written");
    }
    std::set<std::string> names;
    for (const auto& client : cluster.clients) {
        if (!crypto::is_valid_key_name(client.name)) {
            return invalid(
                fmt::format("[[client]] name: \"{}\" is not allowed; use 1 to {} letters, digits, dots, "
                            "dashes and underscores, beginning with a letter or digit",
                            client.name, limits::client_name_bytes_max));
        }
        if (!names.insert(client.name).second) {
            return invalid(fmt::format("[[client]] name: {} is used twice", client.name));
        }
        if (names_of_rights(client.rights).empty()) {
            return invalid(fmt::format("[[client]] {} rights: none; give some of read, write and admin", client.name));
        }
    }
    return {};
}

Result<void> check_detector(const Timers& timers) {
    if (!(timers.phi_threshold >= phi_threshold_min && timers.phi_threshold <= phi_threshold_max)) {
        return invalid(fmt::format("[timers] phi_threshold: {} is out of range; give {} to {}", timers.phi_threshold,
                                   phi_threshold_min, phi_threshold_max));
    }
    if (timers.tenure_ms > tenure_ms_max || timers.tenure_blocks > tenure_blocks_max) {
        return invalid(fmt::format("[timers] tenure_ms, tenure_blocks: out of range; give at most {} and {}",
                                   tenure_ms_max, tenure_blocks_max));
    }
    if (timers.tenure_ms != 0 && timers.tenure_ms < timers.progress_min_ms) {
        return invalid(
            fmt::format("[timers] tenure_ms: {} is less than progress_min_ms, which is {}; give more, or 0 "
                        "for primaries that stay until they are deposed",
                        timers.tenure_ms, timers.progress_min_ms));
    }
    return {};
}

Result<void> check_timers(const Timers& timers) {
    const std::pair<const char*, std::uint64_t> all[] = {{"heartbeat_ms", timers.heartbeat_ms},
                                                         {"order_latency_ms", timers.order_latency_ms},
                                                         {"progress_min_ms", timers.progress_min_ms},
                                                         {"progress_max_ms", timers.progress_max_ms},
                                                         {"precision_ms", timers.precision_ms},
                                                         {"message_delay_ms", timers.message_delay_ms},
                                                         {"recovery_rotation_ms", timers.recovery_rotation_ms}};
    for (const auto& [field, value] : all) {
        if (value == 0 || value > timer_ms_max) {
            return invalid(fmt::format("[timers] {}: {} is out of range; give 1 to {}", field, value, timer_ms_max));
        }
    }
    if (timers.progress_min_ms > timers.progress_max_ms) {
        return invalid(fmt::format("[timers] progress_min_ms: {} is more than progress_max_ms, which is {}",
                                   timers.progress_min_ms, timers.progress_max_ms));
    }
    if (timers.heartbeat_ms > timers.progress_min_ms) {
        return invalid(
            fmt::format("[timers] heartbeat_ms: {} is more than progress_min_ms, which is {}; a primary "
                        "would be deposed between two of its heartbeats",
                        timers.heartbeat_ms, timers.progress_min_ms));
    }
    if (timers.order_latency_ms > timers.progress_max_ms) {
        return invalid(fmt::format("[timers] order_latency_ms: {} is more than progress_max_ms, which is {}",
                                   timers.order_latency_ms, timers.progress_max_ms));
    }
    return check_detector(timers);
}

// Expects a checkpoint_interval in its range.
Result<void> check_log_quota(const Cluster& cluster) {
    const std::uint64_t interval = cluster.checkpoint_interval;
    const std::uint64_t least = log_quota_bytes_min(interval), quota = log_quota_of(cluster);
    if (least > limits::lmdb_map_bytes) {
        return invalid(
            fmt::format("[limits] checkpoint_interval: {} is too large: the log may need {} bytes until it can be cut; "
                        "give at most {}",
                        interval, least, checkpoint_interval_allowed(limits::lmdb_map_bytes)));
    }
    if (quota < least) {
        const std::uint64_t allowed = checkpoint_interval_allowed(quota);
        return invalid(fmt::format(
            "[limits] log_quota_bytes: {} is too small: until the log can be cut it may have to hold two "
            "checkpoint_intervals of the largest blocks; give at least {}, or 0{}",
            quota, least,
            allowed < 4 * cluster.window ? "" : fmt::format(", or a checkpoint_interval of at most {}", allowed)));
    }
    return {};
}

Result<void> check_limits(const Cluster& cluster) {
    if (cluster.window == 0 || cluster.window > limits::window_max) {
        return invalid(
            fmt::format("[limits] window: {} is out of range; give 1 to {}", cluster.window, limits::window_max));
    }
    if (cluster.checkpoint_interval < 4 * cluster.window ||
        cluster.checkpoint_interval > limits::checkpoint_interval_max) {
        return invalid(fmt::format("[limits] checkpoint_interval: {} is out of range; give {} (4 times window) to {}",
                                   cluster.checkpoint_interval, 4 * cluster.window, limits::checkpoint_interval_max));
    }
    if (cluster.history_revisions < limits::history_revisions_min ||
        cluster.history_revisions > limits::history_revisions_max) {
        return invalid(fmt::format("[limits] history_revisions: {} is out of range; give {} to {}",
                                   cluster.history_revisions, limits::history_revisions_min,
                                   limits::history_revisions_max));
    }
    if (const Result<void> checked = check_log_quota(cluster); !checked) {
        return checked;
    }
    if (cluster.fault_model == FaultModel::byzantine && cluster.crash_mode == CrashMode::stop) {
        return invalid("[cluster] crash_mode: \"stop\" belongs to fault_model = \"crash\"");
    }
    return {};
}

}  // namespace

std::string_view name_of(FaultModel model) noexcept {
    return model == FaultModel::crash ? "crash" : "byzantine";
}

Result<void> check_replica_count(FaultModel model, std::size_t n) {
    if (n < limits::replicas_min || n > limits::replicas_max) {
        return invalid(fmt::format("{} replicas: a cluster has {} to {}; {} tolerate one fault of the {} model", n,
                                   limits::replicas_min, limits::replicas_max, model == FaultModel::byzantine ? 4 : 3,
                                   name_of(model)));
    }
    if (!Quorum::of(model, n).is_sound()) {
        return invalid(fmt::format("{} replicas have no sound quorum under the {} model", n, name_of(model)));
    }
    return {};
}

std::vector<std::string> warnings_about(FaultModel model, std::size_t n) {
    std::vector<std::string> warnings;
    const std::size_t f = Quorum::of(model, n).f;
    const std::size_t step = model == FaultModel::byzantine ? 3 : 2;
    const std::size_t enough = step * f + 1;
    if (f == 0) {
        warnings.push_back(fmt::format("{} replicas tolerate no {} fault at all; use {} to tolerate one", n,
                                       name_of(model), step + 1));
    } else if (n != enough) {
        warnings.push_back(
            fmt::format("{} replicas tolerate no more {} faults than {} do (f = {}); use {}, or {} for "
                        "f = {}",
                        n, name_of(model), enough, f, enough, enough + step, f + 1));
    }
    return warnings;
}

bool is_valid_instance(std::string_view instance) noexcept {
    return instance.size() == 32 && std::all_of(instance.begin(), instance.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

bool is_valid_host(std::string_view host) noexcept {
    constexpr std::size_t name_chars_max = 253;  // RFC 1035
    return !host.empty() && host.size() <= name_chars_max && std::all_of(host.begin(), host.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
               c == '_' || c == ':' || c == '%';
    });
}

Result<void> check_cluster(const Cluster& cluster) {
    return check_replica_count(cluster.fault_model, cluster.replicas.size())
        .and_then([&] { return check_ids(cluster); })
        .and_then([&] { return check_hosts(cluster); })
        .and_then([&] { return check_faults(cluster); })
        .and_then([&] { return check_ports(cluster); })
        .and_then([&] { return check_clients(cluster); })
        .and_then([&] { return check_keys(cluster); })
        .and_then([&] { return check_limits(cluster); })
        .and_then([&] { return check_timers(cluster.timers); });
}

}  // namespace loyal::config
