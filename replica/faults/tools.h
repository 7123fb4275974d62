// What several behaviours need: signing whatever they like with the keys they hold, knowing whether they lead, and
// telling a second story consistently. Private to replica/faults.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "replica/faults/fault_model.h"

namespace loyal::replica::faults {

// splitmix64 (Steele, Lea, Flood, OOPSLA'14): a fixed function, so that a behaviour with a seed repeats everywhere.
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t value) {
    value += 0x9E3779B97F4A7C15ULL;
    value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    value = (value ^ (value >> 27U)) * 0x94D049BB133111EBULL;
    return value ^ (value >> 31U);
}

// Signs without the signing guard. Nothing is signed in the crash fault model, where the link authenticates
// (docs/PROTOCOL.md §8d); there these are plain false statements.
class Pen {
 public:
    explicit Pen(const FaultContext& context) : context_(context) {}

    [[nodiscard]] crypto::Signature sign(consensus::SignDomain domain, ByteView content) const {
        return sign_as(context_.signer, domain, content);
    }
    [[nodiscard]] crypto::Signature sign_as(const crypto::Signer& key, consensus::SignDomain domain,
                                            ByteView content) const;
    // Fill in the signature, for the replica whose key this is.
    [[nodiscard]] consensus::Vote sealed(consensus::Vote vote) const;
    [[nodiscard]] consensus::ViewChange sealed(consensus::ViewChange message) const;
    [[nodiscard]] consensus::NewView sealed(consensus::NewView message) const;
    // A block as `key` would propose it; body_root, body_bytes and envelopes of the header follow from `envelopes`.
    [[nodiscard]] consensus::BlockPtr block(consensus::Header header, const std::vector<consensus::Envelope>& envelopes,
                                            const crypto::Signer& key) const;

 private:
    const FaultContext& context_;
};

[[nodiscard]] bool is_crash_model(const FaultContext& context);
[[nodiscard]] bool leads(const FaultContext& context, consensus::View view);
[[nodiscard]] std::vector<consensus::ReplicaId> others_of(const FaultContext& context);
// The same message for everybody else.
void tell_all(const FaultContext& context, const consensus::PeerMessage& message, std::vector<PeerSend>& out);

// The view that the honest core inside has entered, as its messages tell.
class ViewWatch {
 public:
    explicit ViewWatch(const FaultContext& context) : context_(context) {}
    void sent(const consensus::PeerMessage& message);
    [[nodiscard]] consensus::View entered() const { return entered_; }
    [[nodiscard]] bool leading() const { return leads(context_, entered_); }

 private:
    const FaultContext& context_;
    consensus::View entered_;
};

// Happens once in every `interval_ms`, from the first call on.
class Interval {
 public:
    explicit Interval(std::uint64_t interval_ms) : interval_ms_(interval_ms) {}
    [[nodiscard]] bool due(std::uint64_t now_ms) {
        if (next_ms_ && now_ms < *next_ms_) {
            return false;
        }
        next_ms_ = now_ms + interval_ms_;
        return true;
    }

 private:
    std::uint64_t interval_ms_;
    std::optional<std::uint64_t> next_ms_;
};

// The second story of a leader: for each of its blocks a twin of the same view and height, correctly signed, whose
// parent is the parent's twin, so that whoever hears only this story sees one sound chain. A fixed function of the
// block and the leader's key: all who hold that key tell the same story. Remembers the last twins_max.
class Twins {
 public:
    using Change = std::function<void(consensus::Header&, std::vector<consensus::Envelope>&)>;
    Twins(const FaultContext& context, Change change) : pen_(context), change_(std::move(change)) {}

    // Null if the change makes no block of it. To be asked in the order of the chain.
    [[nodiscard]] consensus::BlockPtr of(const consensus::BlockPtr& block, const crypto::Signer& leader);
    [[nodiscard]] consensus::BlockPtr find(const crypto::Digest& block) const;
    // The same vote about the other story, signed with the context's key; the vote itself when it is about no block of
    // its view (about the base, which has no twin).
    [[nodiscard]] consensus::Vote retold(const consensus::Vote& vote) const;
    // Uncommitted blocks of the story become those of the other; a proof of the first goes.
    [[nodiscard]] consensus::Blocks retold(consensus::Blocks answer) const;
    // True for a block that was made here.
    [[nodiscard]] bool is_twin(const crypto::Digest& block) const { return made_.contains(block); }

    static constexpr std::size_t twins_max = 512;

 private:
    [[nodiscard]] consensus::BlockRef other(const consensus::BlockRef& block, consensus::View view) const;

    Pen pen_;
    Change change_;
    std::map<crypto::Digest, consensus::BlockPtr> twins_;  // by the id of the block that the leader's core made
    std::map<crypto::Digest, crypto::Digest> made_;        // twin -> block
    std::deque<crypto::Digest> order_;
};

// The second story of who has no particular one in mind: the same envelopes in another order, a moment later.
void retell(consensus::Header& header, std::vector<consensus::Envelope>& envelopes);

}  // namespace loyal::replica::faults
