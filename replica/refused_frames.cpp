#include "replica/refused_frames.h"

#include "consensus/verifier.h"
#include "wire/codec.h"
#include "wire/signed_body.h"

namespace loyal::replica {

std::optional<consensus::Evidence> proof_in_refused(const consensus::MessageVerifier& verifier, ByteView frame) {
    if (verifier.membership().fault_model != consensus::FaultModel::byzantine) {
        return std::nullopt;
    }
    if (const auto message = wire::decode_peer(verifier.membership().context, frame)) {
        return consensus::evidence_in_refused(verifier, *message);
    }
    if (const auto proposal = wire::signed_body_of(frame)) {
        return consensus::evidence_of_body(verifier, proposal->header, proposal->signature, *proposal->body);
    }
    return std::nullopt;
}

}  // namespace loyal::replica
