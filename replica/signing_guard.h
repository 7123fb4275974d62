// SigningGuard: the key holder that refuses to contradict itself, whatever the protocol code asks for
// (PROTOCOL.md V2, D3, I2, I3, E1 to E4, E7). The core signs through it, and every message of this
// replica passes `check` on its way to the send gate, which also covers the crash fault model, where nothing is signed.
//
// It refuses: a second digest for one (view, height, phase); heads that fall back within a view; a vote or proposal
// below the promised view; a VIEW-CHANGE that hides the own lock or last vote, or a second one for a view; a proposal
// or NEWVIEW of a view that was led before a restart; a second RECEIPT for one height. It keeps a state of its own,
// seeded after a restart from the durable voting state: whatever was signed but not durable has never left, because of
// the send gate. While that state says that votes were lost, nothing new leaves at all; afterwards nothing of a view up
// to that of the lock with which the silence ended, because what was forgotten is of those views (PROTOCOL.md A2, A5).
//
// A refused signature is all zeros, which nobody accepts. Single-threaded, as the core.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <unordered_set>

#include "config/result.h"
#include "consensus/input_effect.h"
#include "consensus/messages.h"
#include "consensus/receipt.h"
#include "crypto/signature.h"
#include "kvstore/state_proof.h"

namespace loyal::replica {

// What this replica has said so far, as far as it binds what it may say next.
class SigningHistory {
 public:
    SigningHistory(const consensus::ClusterContext& context, std::size_t n, consensus::ReplicaId self,
                   const consensus::Recovered& recovered);

    // Each records what it allows. What was allowed before is allowed again, byte for byte (re-sends).
    [[nodiscard]] Result<void> allow(const consensus::Vote& vote);
    [[nodiscard]] Result<void> allow(const consensus::ViewChange& message);
    [[nodiscard]] Result<void> allow(const consensus::NewView& message);
    [[nodiscard]] Result<void> allow(const consensus::Propose& message);
    // One exec_dig and block for a height (E8). Of the last heights only, and nothing below them.
    [[nodiscard]] Result<void> allow(const consensus::ReceiptStatement& receipt);
    // One root for a height, likewise; of checkpoints, in the crash fault model.
    [[nodiscard]] Result<void> allow(const kvstore::StateRoot& root);

    // This is being made durable; what waits for it may leave afterwards.
    void persisting(const consensus::VotingState& voting);
    // Nothing but what was allowed before: this replica may have forgotten what it said.
    [[nodiscard]] bool silent() const { return silent_; }
    [[nodiscard]] bool repeats(const consensus::PeerMessage& message) const;

 private:
    struct Head {
        std::int64_t view = -1;
        consensus::BlockRef block;
        [[nodiscard]] bool outranks(std::int64_t other_view, consensus::Height other_height) const;
    };
    [[nodiscard]] bool known(const crypto::Digest& key) const { return allowed_.contains(key); }
    void remember(const crypto::Digest& key);

    consensus::ClusterContext context_;
    std::size_t n_;
    consensus::ReplicaId self_;
    std::int64_t promised_ = 0;
    std::int64_t entered_ = 0;
    std::int64_t led_before_restart_ = -1;
    bool silent_ = false;
    Head prep_, com_, proposed_;
    std::int64_t view_change_ = -1;  // of the last VIEW-CHANGE
    std::int64_t new_view_ = -1;     // of the last NEWVIEW
    // Digests of what was allowed lately, so that a re-send passes although the heads have moved on.
    std::unordered_set<crypto::Digest> allowed_;
    std::deque<crypto::Digest> allowed_order_;
    std::map<consensus::Height, consensus::ReceiptStatement> receipts_;
    std::map<consensus::Height, crypto::Digest> roots_;
};

class SigningGuard final : public crypto::Signer {
 public:
    // `key` outlives the guard.
    SigningGuard(const crypto::Signer& key, const consensus::ClusterContext& context, std::size_t n,
                 consensus::ReplicaId self, const consensus::Recovered& recovered);

    [[nodiscard]] crypto::Signature sign(ByteView message) const override;
    [[nodiscard]] const crypto::PublicKey& public_key() const override { return key_.public_key(); }

    // For what is about to be sent. Errc::conflict names the contradiction; the message must not leave.
    [[nodiscard]] Result<void> check(const consensus::PeerMessage& message);
    // For what is about to be written, before anything that waits for it is checked.
    void persisting(const consensus::Persist& persist);

    // While votes may be lost (A2) not even what was allowed, and waited for the disk, may leave any more.
    [[nodiscard]] bool holds_back(const consensus::PeerMessage& message) const;

    [[nodiscard]] std::uint64_t signatures() const { return signatures_; }
    [[nodiscard]] std::uint64_t refusals() const { return refusals_; }
    [[nodiscard]] const std::string& last_refusal() const { return last_refusal_; }

 private:
    [[nodiscard]] Result<void> check_signed(ByteView message) const;

    const crypto::Signer& key_;
    consensus::ClusterContext context_;
    consensus::ReplicaId self_;
    mutable SigningHistory history_;  // Signer::sign is const for those who hold no history
    mutable std::uint64_t signatures_ = 0;
    mutable std::uint64_t refusals_ = 0;
    mutable std::string last_refusal_;
};

}  // namespace loyal::replica
