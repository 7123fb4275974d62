// EvidenceBook: which offences are accused already, so that each is kept once and a traitor's productivity fills
// neither memory nor disk (PROTOCOL.md §17). One proof is enough against a replica; several of each sort tell the
// story.
#pragma once

#include <map>
#include <set>
#include <tuple>

#include "consensus/evidence.h"

namespace loyal::consensus {

class EvidenceBook {
 public:
    // One accusation a culprit, kind and view; at most evidence_per_culprit_max of a culprit, whose last places are for
    // kinds that it was not accused of yet, and evidence_kept_max in all.
    [[nodiscard]] bool wants(ReplicaId culprit, EvidenceKind kind, View view) const;
    void add(ReplicaId culprit, EvidenceKind kind, View view);
    [[nodiscard]] std::size_t size() const { return known_.size(); }

 private:
    std::set<std::tuple<ReplicaId, EvidenceKind, View>> known_;
    std::map<ReplicaId, std::map<EvidenceKind, std::size_t>> counts_;
};

}  // namespace loyal::consensus
