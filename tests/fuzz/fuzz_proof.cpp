// The content of a proof file, in a file whose length and checksum are right: what verifies is true, and its one
// encoding. The first byte says of which kind it is, and of which fault model. The corpus is made by `loyal-mutations
// --corpus`, anew when the world of the proofs changes: old ones verify then, and say what is no longer so.
#include <cstdint>
#include <cstdlib>

#include "crypto/canonical.h"
#include "tests/mutations/proof_mutator.h"
#include "tests/mutations/proof_world.h"

namespace {

using namespace loyal;

void require(bool truth) {
    if (!truth) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const mutations::ProofWorld byzantine(consensus::FaultModel::byzantine);
    static const mutations::ProofWorld crash(consensus::FaultModel::crash);
    if (size == 0) {
        return 0;
    }
    const mutations::ProofWorld& world = (data[0] & 2U) == 0 ? byzantine : crash;
    crypto::CanonicalWriter file;
    file.raw(view_of("LKVPROOF")).number(std::uint16_t{1}).number(static_cast<std::uint8_t>(1 + (data[0] & 1U)));
    file.digest(world.verifier().membership().context.cluster_id).sized(ByteView(data, size).subspan(1));
    const Bytes sealed = mutations::resealed(file.digest({}).take());
    const auto proof = proof::decode_proof(sealed);
    if (!proof) {
        require(!proof.error().message.empty());
        return 0;
    }
    require(proof::encode_proof(*proof) == sealed);
    if (const auto proven = world.verifier().check(*proof)) {
        require(world.objection(sealed, *proof, *proven).empty());
    }
    return 0;
}
