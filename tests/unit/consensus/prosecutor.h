// A prosecutor who heard everything that a run put on the wire and tries to convict anybody of anything: every pair of
// statements of one signer, with every path of headers between them. What it finds against a correct replica is a bug.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "consensus/evidence.h"
#include "consensus/verifier.h"

namespace loyal::consensus::test {

class Prosecutor {
 public:
    // The verifier outlives it.
    explicit Prosecutor(const MessageVerifier& verifier) : verifier_(verifier) {}

    void hear(const PeerMessage& message);
    // Everything that check_evidence accepts.
    [[nodiscard]] std::vector<Evidence> convictions() const;
    // Every signed statement heard, in the form in which evidence carries it.
    [[nodiscard]] std::vector<Bytes> statements() const;
    [[nodiscard]] std::vector<Bytes> headers() const;

 private:
    void hear(const BlockPtr& block);
    void hear(const Certificate& certificate);
    void hear(const ViewChange& change);
    void hear(const NewView& message);
    void judge_votes(const Vote& one, const Vote& other, std::vector<Evidence>& found) const;
    void keep_proven(Evidence evidence, std::vector<Evidence>& found) const;

    const MessageVerifier& verifier_;
    std::map<crypto::Digest, Header> headers_;
    std::map<crypto::Digest, BlockPtr> blocks_;
    // Of each signer, by what was said.
    std::map<ReplicaId, std::map<Bytes, Vote>> votes_;
    std::map<ReplicaId, std::map<Bytes, ViewChange>> changes_;
    std::map<ReplicaId, std::map<Bytes, NewView>> new_views_;
};

}  // namespace loyal::consensus::test
