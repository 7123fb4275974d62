// `cluster up` and `cluster down`: starting and stopping the replicas of a folder on this machine.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/connection.h"
#include "client/cli/failure.h"

namespace loyal::cli {

struct ReplicaLine {
    std::uint16_t id = 0;
    std::optional<std::int64_t> pid;
    std::string state;  // primary, backup, ..., starting, stopped, "died: exit code 64"
};

struct UpResult {
    std::vector<ReplicaLine> replicas;
    bool quorum_possible = true;      // fewer than a quorum were to run on this machine: nothing was waited for
    bool serving = false;             // a linearizable read was answered
    std::vector<std::string> deaths;  // of replicas that ended while starting: how, and their last words
    std::string why;                  // not serving
};

// `only` empty: every replica whose address is of this machine. Replicas that already run are left alone.
[[nodiscard]] Answer<UpResult> bring_up(const config::Cluster& cluster, const Globals& globals,
                                        const std::vector<std::uint16_t>& only);

// SIGTERM to all, then waiting; SIGKILL for those that are still there after `grace_ms`.
[[nodiscard]] Answer<std::vector<ReplicaLine>> bring_down(const config::Cluster& cluster,
                                                          const std::vector<std::uint16_t>& only,
                                                          std::uint64_t grace_ms);

}  // namespace loyal::cli
