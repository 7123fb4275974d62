// What this replica can prove against others: kept in the log, and here for those who ask (`loyal evidence list`).
#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "config/limits.h"
#include "replica/replica_state.h"

namespace loyal::replica {
namespace {

using Json = nlohmann::ordered_json;
using consensus::Evidence;

// Room for what is around the proofs.
constexpr std::size_t text_margin_bytes = 4096;

Json json_of(const Evidence& proof) {
    const auto subject = consensus::subject_of(proof);
    return Json{{"id", consensus::evidence_id(proof).hex()},
                {"kind", consensus::name_of(proof.kind)},
                {"culprit", proof.culprit.value},
                {"view", subject ? Json(subject->view.value) : Json()},
                {"height", subject && subject->height.value != 0 ? Json(subject->height.value) : Json()},
                {"first", to_hex(proof.first)},
                {"second", to_hex(proof.second)},
                {"path", to_hex(proof.path)}};
}

}  // namespace

// Before the node starts: it must not accuse anew of what is in the log.
void Replica::State::recover_evidence() {
    Result<std::vector<Evidence>> found = data.log->evidence();
    if (!found) {
        set_alarm("evidence", "evidence of earlier runs cannot be read: " + found.error().message);
        return;
    }
    evidence = std::move(*found);
    node.remember(evidence);
    for (const Evidence& proof : evidence) {
        ++accusations_by[{proof.culprit.value, consensus::name_of(proof.kind)}];
    }
    if (!evidence.empty()) {
        spdlog::info("event=evidence_recovered proofs={}", evidence.size());
    }
}

void Replica::State::accuse(const consensus::Accuse& accusation) {
    const Evidence& proof = accusation.evidence;
    const auto subject = consensus::subject_of(proof);
    ++accusations;
    ++accusations_by[{proof.culprit.value, consensus::name_of(proof.kind)}];
    evidence.push_back(proof);  // the core bounds them
    spdlog::warn("event=accuse culprit={} evidence={} view={} height={} id={} why=\"{}\"", proof.culprit.value,
                 consensus::name_of(proof.kind), subject ? subject->view.value : 0, subject ? subject->height.value : 0,
                 consensus::evidence_id(proof).hex(), consensus::explanation_of(proof.kind));
}

// One of every culprit and kind first, then the rest, oldest first, as far as one answer goes.
Result<std::string> Replica::State::evidence_json() const {
    std::vector<const Evidence*> order;
    std::set<std::pair<consensus::ReplicaId, consensus::EvidenceKind>> seen;
    for (const Evidence& proof : evidence) {
        if (seen.emplace(proof.culprit, proof.kind).second) {
            order.push_back(&proof);
        }
    }
    for (const Evidence& proof : evidence) {
        if (std::find(order.begin(), order.end(), &proof) == order.end()) {
            order.push_back(&proof);
        }
    }
    Json list = Json::array();
    std::size_t bytes = text_margin_bytes;
    for (const Evidence* proof : order) {
        Json each = json_of(*proof);
        bytes += each.dump().size() + 1;
        if (bytes > limits::control_text_bytes_max) {
            break;
        }
        list.push_back(std::move(each));
    }
    const std::size_t omitted = order.size() - list.size();
    return Json{{"replica", options.id},
                {"cluster_id", membership.context.cluster_id.hex()},
                {"held", evidence.size()},
                {"omitted", omitted},
                {"evidence", std::move(list)}}
        .dump();
}

}  // namespace loyal::replica
