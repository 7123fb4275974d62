#include "consensus/evidence.h"

#include <algorithm>
#include <array>

#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::consensus {
namespace {

using crypto::CanonicalReader;
using crypto::CanonicalWriter;

constexpr std::uint8_t kinds = 7;

}  // namespace

const char* name_of(EvidenceKind kind) {
    static constexpr std::array<const char*, kinds> names = {"E1", "E2", "E3", "E4", "E5", "E6", "E7"};
    return names.at(static_cast<std::size_t>(kind) - 1);
}

Bytes encode_evidence(const Evidence& evidence) {
    CanonicalWriter out(16 + evidence.first.size() + evidence.second.size() + evidence.path.size());
    out.number(static_cast<std::uint8_t>(evidence.kind)).number(evidence.culprit.value);
    out.sized(evidence.first).sized(evidence.second).sized(evidence.path);
    return out.take();
}

Result<Evidence> decode_evidence(ByteView bytes) {
    if (bytes.size() > limits::evidence_bytes_max) {
        return fail(Errc::invalid_argument, "evidence of " + std::to_string(bytes.size()) + " bytes");
    }
    CanonicalReader in(bytes);
    Evidence evidence;
    const auto kind = in.number<std::uint8_t>();
    evidence.culprit = ReplicaId(in.number<std::uint16_t>());
    for (Bytes* part : {&evidence.first, &evidence.second, &evidence.path}) {
        const ByteView view = in.sized(limits::evidence_bytes_max);
        part->assign(view.begin(), view.end());
    }
    if (!in.finish() || kind < 1 || kind > kinds || evidence.culprit.value >= limits::replicas_max) {
        return fail(Errc::invalid_argument, "malformed evidence");
    }
    evidence.kind = static_cast<EvidenceKind>(kind);
    return evidence;
}

crypto::Digest evidence_id(const Evidence& evidence) {
    return crypto::digest_of("evidence", encode_evidence(evidence));
}

}  // namespace loyal::consensus
