// SigningLedger: everything one correct replica ever said, across its crashes, and what its disk held when it said it.
// Two rules, checked at every message that leaves:
//  - I6 (PROTOCOL.md §7, §20): the durable image covers what the message promises;
//  - I15 (§16): no two statements of a correct replica contradict each other (E1 to E4, E7), also when its disk was
//  lost
//    or is an old copy in between. Who lost votes says nothing new until it may (§14, A2).
// The ledger knows nothing of the core: it reads the records that were made durable and the messages themselves.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "consensus/input_effect.h"
#include "consensus/quorum.h"
#include "consensus/verifier.h"

namespace loyal::sim {

using Finding = std::optional<std::string>;  // what is wrong; nothing: all is well

// Parent links of every block that was ever proposed, by anybody.
class HeaderTree {
 public:
    explicit HeaderTree(const consensus::BlockRef& genesis) { parents_[genesis.id] = {}; }
    void add(const consensus::Block& block) {
        parents_.try_emplace(block.id, Link{block.header.parent, block.header.height.value});
    }
    // True unless the tree proves that neither is an ancestor of the other.
    [[nodiscard]] bool comparable(const consensus::BlockRef& a, const consensus::BlockRef& b) const;

 private:
    struct Link {
        crypto::Digest parent;
        std::uint64_t height = 0;
    };
    std::unordered_map<crypto::Digest, Link> parents_;
};

class SigningLedger {
 public:
    SigningLedger(const consensus::Membership& membership, consensus::ReplicaId self, const HeaderTree& tree)
        : membership_(membership), self_(self), tree_(tree) {}

    // These records are on disk now.
    void durable(const std::vector<consensus::LogRecord>& records);
    // What the replica reads back must be what was made durable, no more and no less.
    [[nodiscard]] Finding recovered(const consensus::Recovered& recovered);
    [[nodiscard]] Finding sent(const consensus::PeerMessage& message);
    // The disk is gone, or holds what it held when `records` had been written to it, in this order. What was said stays
    // said.
    void disk_lost();
    // From here on the disk may hold something else than what was written. What is read back is either what was made
    // durable, or the replica knows that it lost votes (A1).
    void disk_may_lie() { disk_lies_ = true; }
    [[nodiscard]] bool disk_lies() const { return disk_lies_; }
    // An old image is on the disk: the replica cannot know that by itself, and what it reads back is taken as it is.
    void disk_put_back() { put_back_ = true; }
    // By what is durable.
    [[nodiscard]] bool is_amnesiac() const { return voting_ && voting_->amnesiac; }
    void disk_rolled_back(const std::vector<consensus::LogRecord>& records);

 private:
    struct SaidInView {  // votes of one view
        std::optional<consensus::BlockRef> prep, com;
    };
    struct SaidViewChange {
        crypto::Digest content;
        consensus::Lock lock;
        consensus::Prepared last_prep;
    };

    [[nodiscard]] Finding by_amnesiac(const consensus::PeerMessage& message) const;
    [[nodiscard]] Finding on_propose(const consensus::Propose& message);
    [[nodiscard]] Finding on_vote(const consensus::Vote& vote);
    [[nodiscard]] Finding on_view_change(const consensus::ViewChange& message);
    [[nodiscard]] Finding on_new_view(const consensus::NewView& message);
    [[nodiscard]] Finding vote_is_durable(const consensus::Vote& vote) const;
    [[nodiscard]] Finding contradicts(const consensus::Vote& vote, const SaidViewChange& said) const;

    const consensus::Membership& membership_;
    consensus::ReplicaId self_;
    const HeaderTree& tree_;

    std::optional<consensus::VotingState> voting_;  // on disk
    bool lost_ = false;                             // the disk, and nothing was written since
    bool disk_lies_ = false, put_back_ = false;
    std::map<consensus::View, crypto::Digest> durable_view_changes_, durable_new_views_;

    std::map<std::pair<consensus::View, consensus::Height>, crypto::Digest> proposed_;
    std::map<consensus::View, SaidInView> votes_;
    std::map<consensus::View, SaidViewChange> view_changes_;
    std::map<consensus::View, crypto::Digest> new_views_;
    std::optional<consensus::Vote> last_vote_;  // sent to one peer after the other
};

}  // namespace loyal::sim
