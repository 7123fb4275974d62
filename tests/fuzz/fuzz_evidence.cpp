// Evidence as a stranger may hand it over. The first byte picks the judge: one for whom every signature is good, so
// that what lies behind the signatures is reached, or none is. Nothing may crash; what decodes has one encoding; with
// bad signatures nothing is ever proven.
#include <algorithm>
#include <cstdlib>

#include "config/limits.h"
#include "consensus/evidence.h"
#include "consensus/verifier.h"

namespace {

using namespace loyal;
using namespace loyal::consensus;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

class Gullible final : public crypto::SignatureVerifier {
 public:
    explicit Gullible(bool believes) : believes_(believes) {}
    [[nodiscard]] bool verify(const crypto::PublicKey&, ByteView, const crypto::Signature&) const override {
        return believes_;
    }

 private:
    bool believes_;
};

Membership four_replicas() {
    Membership membership;
    membership.context.cluster_id = crypto::digest_of("fuzz", view_of("cluster"));
    membership.replicas.resize(4);
    membership.clients[client_id_of({})] = {};
    return membership;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    static const Membership membership = four_replicas();
    const bool believes = (data[0] & 1U) != 0;
    const Gullible signatures(believes);
    const MessageVerifier verifier(membership, signatures);
    const ByteView input(data + 1, size - 1);
    const auto evidence = decode_evidence(input);
    if (!evidence) {
        return 0;
    }
    const Bytes again = encode_evidence(*evidence);
    require(std::equal(again.begin(), again.end(), input.begin(), input.end()));
    require(again.size() <= limits::evidence_bytes_max);
    const bool proven = check_evidence(verifier, *evidence).has_value();
    require(!proven || believes);
    if (proven) {
        require(subject_of(*evidence).has_value());
        require(evidence->culprit.value < membership.replicas.size());
        // No second encoding of the same: neither the other way round, nor without a part.
        Evidence other = *evidence;
        std::swap(other.first, other.second);
        require(!check_evidence(verifier, other).has_value());
        if (!evidence->path.empty()) {
            Evidence shorter = *evidence;
            shorter.path.resize(shorter.path.size() - header_bytes);
            require(!check_evidence(verifier, shorter).has_value());
        }
    }
    return 0;
}
