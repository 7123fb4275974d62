#include "consensus/evidence_book.h"

#include <numeric>

#include "config/limits.h"

namespace loyal::consensus {
namespace {

static_assert(limits::evidence_per_culprit_max > evidence_kinds &&
              limits::evidence_kept_max >= limits::evidence_per_culprit_max);

}  // namespace

bool EvidenceBook::wants(ReplicaId culprit, EvidenceKind kind, View view) const {
    if (known_.size() >= limits::evidence_kept_max || known_.contains({culprit, kind, view})) {
        return false;
    }
    const auto found = counts_.find(culprit);
    if (found == counts_.end() || !found->second.contains(kind)) {
        return true;  // places are kept for it
    }
    const auto& of_culprit = found->second;
    const std::size_t kept = std::accumulate(of_culprit.begin(), of_culprit.end(), std::size_t{0},
                                             [](std::size_t sum, const auto& entry) { return sum + entry.second; });
    return kept + (evidence_kinds - of_culprit.size()) < limits::evidence_per_culprit_max;
}

void EvidenceBook::add(ReplicaId culprit, EvidenceKind kind, View view) {
    if (known_.insert({culprit, kind, view}).second) {
        ++counts_[culprit][kind];
    }
}

}  // namespace loyal::consensus
