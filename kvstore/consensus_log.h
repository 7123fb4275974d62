// ConsensusLog: the durable consensus log of one replica behind the LogStore port (PROTOCOL.md §4, §7). Records are
// appended under a local sequence number; an index from block id and from committed height to that number is kept in
// memory and rebuilt at start. The voting state is kept in two sealed copies on separate pages, both written in every
// transaction under one sequence number.
//
// Damage never keeps a replica from starting (rule A6; Alagappan et al., "Protocol-Aware Recovery for Consensus-Based
// Storage", FAST'18): a block that rotted is fetched again by its id, and where a vote may be forgotten the voting
// state becomes AMNESIAC, durably, before anybody sees it (A1). docs/STORAGE.md says why that is enough for each kind.
//
// Below a stable checkpoint the log is forgotten, a few records with every append (S5).
//
// Threads: `append` from one thread (the log thread); everything else from any thread at the same time.
#pragma once

#include <memory>
#include <optional>
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

// A step of reading everything again.
struct LogScrub {
    std::uint64_t next = 0;  // where to go on; 0: from the beginning
    std::size_t records = 0;
};

struct LogRepairs {             // since opening
    std::uint64_t blocks = 0;   // stored again
    std::uint64_t records = 0;  // put out of the way
};

struct LogOptions {
    // The folder was made anew after a loss: before anything else the log holds that this replica is AMNESIAC (A1).
    bool lost = false;
    std::uint64_t checkpoint_interval = 0;  // C; 0: there are no checkpoints to prove
    // Crash mode has no certificates. Nothing: told from what is in the log, where that shows it.
    std::optional<consensus::FaultModel> fault_model;
};

class ConsensusLog {
 public:
    // `log` has the tables of log_tables() and outlives the object. Damaged content is no error: see damage() and
    // Recovered.votes_lost. Errc::io, disk_full: the store cannot be read, or an AMNESIAC voting state not be written.
    [[nodiscard]] static Result<std::unique_ptr<ConsensusLog>> open(Store& log,
                                                                    const consensus::ClusterContext& context,
                                                                    const LogOptions& options = {});
    [[nodiscard]] static std::vector<std::string> log_tables();
    virtual ~ConsensusLog() = default;

    // All records of all given Persists in one synced transaction (group commit), and a step of forgetting what
    // release_below() gave up. An empty group is such a step alone. Errc::disk_full, Errc::io: nothing of it counts as
    // written; after a failed sync the process must end, because nobody knows what the disk holds.
    [[nodiscard]] virtual Result<void> append(const std::vector<consensus::Persist>& group) = 0;

    // At a start, with the block that an intact state is complete for: in a log that was lost and made anew the
    // committed chain begins above that block, because what lies below is in the state, and the peers may have
    // forgotten it. Nothing happens in a log that knows of committed blocks, or of that one. Errors as of append().
    [[nodiscard]] virtual Result<void> begin_above(const consensus::BlockRef& /*executed*/) { return {}; }

    // `executed` is the block that the state is complete for when the core starts: the state store's, or the highest
    // that was executed again since. `executed_digests` and `roots` are left to the caller. `committed` is the highest
    // block whose chain from `executed` on is here. Blocks of the voted chain that are damaged or missing are left out:
    // their votes stand, and the core fetches them by id before it votes again. Errc::corrupted: what the
    // votes lean on rotted since opening; open again.
    [[nodiscard]] virtual Result<consensus::Recovered> recover(const consensus::BlockRef& executed) const = 0;

    // Nothing when it is not here; Errc::corrupted when its record is damaged (see damaged_blocks).
    [[nodiscard]] virtual Result<std::optional<consensus::BlockPtr>> block(const crypto::Digest& id) const = 0;
    // The committed block of that height, for executing it again. Nothing when it is not known or not here.
    [[nodiscard]] virtual Result<std::optional<consensus::BlockPtr>> committed_block(
        consensus::Height /*height*/) const {
        return std::optional<consensus::BlockPtr>();
    }
    // Headers from `from` up to the highest certified height that is at most `top` and leaves at most fetch_blocks_max
    // of them, or up to the first certified one above `top` within that bound; without certificates (crash mode) as far
    // as top and bound allow. The first blocks of them, at least one, that fit into `bytes_max`. No headers at all when
    // `from` is above what is committed here, or not kept any more. Errc::corrupted when the block at `from` is
    // damaged.
    [[nodiscard]] virtual Result<CommittedRange> committed_range(consensus::Height from, consensus::Height top,
                                                                 std::size_t bytes_max) const = 0;
    // Everything intact that proves a peer's guilt, oldest first.
    [[nodiscard]] virtual Result<std::vector<consensus::Evidence>> evidence() const = 0;
    // Highest block whose whole chain from first_height() on is here.
    [[nodiscard]] virtual consensus::Height committed() const = 0;
    // Lowest height that committed_range() may serve: one above what was forgotten or came as a state.
    [[nodiscard]] virtual consensus::Height first_height() const { return consensus::Height(1); }
    [[nodiscard]] virtual std::uint64_t used_bytes() const = 0;

    // ---- Checkpoints (S4, S5). `checkpoint` is a multiple of C.
    // What proves the state after that block to others. Nothing when a header, or the certificate, is not here.
    [[nodiscard]] virtual Result<std::optional<consensus::CheckpointProof>> checkpoint_proof(
        consensus::Height /*checkpoint*/) const {
        return std::optional<consensus::CheckpointProof>();
    }
    // The highest one that checkpoint_proof() proves; 0: none.
    [[nodiscard]] virtual consensus::Height newest_checkpoint() const { return {}; }
    // The log may forget what lies below: `height` is a stable checkpoint, and the state store is durably complete for
    // it or a higher block. Blocks down to 2 * window_max + 2 below stay, for certificates reach back so far. Returns
    // at once; the following appends do it, at most 64 records each, after they have copied forward what is still
    // needed.
    virtual void release_below(consensus::Height /*height*/) {}
    // More appends, of empty groups if need be, will forget or mend more.
    [[nodiscard]] virtual bool wants_append() const { return false; }

    // ---- Damage
    // What was found since opening, by record; bounded, the last line counts the rest.
    [[nodiscard]] virtual std::vector<std::string> damage() const { return {}; }
    // Committed blocks whose record is damaged or missing, lowest first, at most 64. Appending a BlockRecord of such a
    // block repairs it, in the place of the damaged record where that is known. An id of zero: only its height is
    // known, until the block above it is there again; of these at most 32.
    [[nodiscard]] virtual std::vector<consensus::BlockRef> damaged_blocks() const { return {}; }
    // Verifies at most so many records, and a few MiB, from number `from` on, and both copies of the voting state. What
    // is found is mended by the appends that follow (wants_append), but for the blocks above, which have to be fetched.
    // Errc::io.
    [[nodiscard]] virtual Result<LogScrub> scrub(std::uint64_t /*from*/, std::size_t /*records_max*/) const {
        return LogScrub();
    }
    [[nodiscard]] virtual LogRepairs repairs() const { return {}; }
};

}  // namespace loyal::kvstore
