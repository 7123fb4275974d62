// ConsensusLog: the durable consensus log of one replica behind the LogStore port (PROTOCOL.md §4, §7). Records are
// appended under a local sequence number; an index from block id and from committed height to that number is kept in
// memory and rebuilt at start. The voting state is kept in two sealed copies on separate pages, both written in every
// transaction under one sequence number.
//
// Threads: `append` from one thread (the log thread), reading functions from one other thread at the same time; the
// index is guarded inside.
#pragma once

#include <memory>
#include <vector>

#include "consensus/input_effect.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

// What a committed-range answer needs (rule N10).
struct CommittedRange {
    std::vector<consensus::Header> headers;             // from .. top of the certificate
    std::optional<consensus::Certificate> certificate;  // absent in crash mode
    std::vector<consensus::BlockPtr> blocks;            // the first of them that fit in bytes_max
};

class ConsensusLog {
 public:
    // `log` has the tables of log_tables() and outlives the object. Corrupted records are an error that names the
    // record. Errc::corrupted, too, when the voting state is not provably the newest (rule A6, pitfall 24).
    [[nodiscard]] static Result<std::unique_ptr<ConsensusLog>> open(Store& log,
                                                                    const consensus::ClusterContext& context);
    [[nodiscard]] static std::vector<std::string> log_tables();
    virtual ~ConsensusLog() = default;

    // All records of all given Persists in one synced transaction (group commit). Errc::disk_full, Errc::io: nothing of
    // them counts as written; after a failed sync the process must end, because nobody knows what the disk holds.
    [[nodiscard]] virtual Result<void> append(const std::vector<consensus::Persist>& group) = 0;

    // `executed` is the block that the state store is complete for (StateMachine::executed_block after opening).
    // `executed_digests` is left to the caller, who has them from StateMachine::recent_digests. `committed` is the
    // highest block whose whole chain is in the log: CommitRecords are written with whatever comes next, so the state
    // store may be ahead of it. Errc::corrupted: a record that is needed is damaged or missing.
    [[nodiscard]] virtual Result<consensus::Recovered> recover(const consensus::BlockRef& executed) const = 0;

    [[nodiscard]] virtual Result<std::optional<consensus::BlockPtr>> block(const crypto::Digest& id) const = 0;
    // Headers from `from` up to the highest certified height that is at most `top` and leaves at most fetch_blocks_max
    // of them, or up to the first certified one above `top` within that bound; without certificates (crash mode) as far
    // as top and bound allow. The first blocks of them, at least one, that fit into `bytes_max`. No headers at all when
    // `from` is above what is committed here.
    [[nodiscard]] virtual Result<CommittedRange> committed_range(consensus::Height from, consensus::Height top,
                                                                 std::size_t bytes_max) const = 0;
    // Everything that proves a peer's guilt, oldest first.
    [[nodiscard]] virtual Result<std::vector<consensus::Evidence>> evidence() const = 0;
    [[nodiscard]] virtual consensus::Height committed() const = 0;
    [[nodiscard]] virtual std::uint64_t used_bytes() const = 0;
};

}  // namespace loyal::kvstore
