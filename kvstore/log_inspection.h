// What is in the consensus log of a stopped replica, and whether all of it is intact: every seal, every number, every
// link of the committed chain, every block's id and body, both copies of the voting state. Changes nothing.
#pragma once

#include <array>
#include <functional>

#include "kvstore/consensus_log.h"
#include "kvstore/log_records.h"

namespace loyal::kvstore {

struct LogInspection {
    std::uint64_t records = 0;
    std::array<std::uint64_t, 9> of_kind{};  // index: RecordKind
    consensus::Height first_height;          // of the committed chain
    consensus::Height committed;             // highest whose chain from there on is here
    consensus::Height checkpoint;            // highest that can be proved; 0: none
    std::size_t evidence = 0;
    bool fresh = true;                // nothing was ever written
    consensus::VotingState voting;    // as a start would find it
    std::string votes_lost;           // why a start would make it AMNESIAC
    std::vector<std::string> damage;  // bounded
};

[[nodiscard]] Result<LogInspection> inspect_log(Store& log, const consensus::ClusterContext& context,
                                                std::uint64_t checkpoint_interval,
                                                const std::function<void(std::uint64_t records)>& progress = {});

}  // namespace loyal::kvstore
