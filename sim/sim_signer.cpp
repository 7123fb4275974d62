#include "sim/sim_signer.h"

#include <algorithm>

#include "crypto/canonical.h"

namespace loyal::sim {
namespace {

crypto::Signature tag_of(const crypto::Digest& secret, ByteView message) {
    const crypto::Digest tag = crypto::Hasher("sim-signature").update(secret.view()).update(message).finish();
    crypto::Signature signature;
    std::copy(tag.bytes.begin(), tag.bytes.end(), signature.bytes.begin());
    // The second half depends on every bit of the first, so that no byte of a signature may change unnoticed.
    std::copy(tag.bytes.rbegin(), tag.bytes.rend(), signature.bytes.begin() + tag.bytes.size());
    return signature;
}

}  // namespace

SimSigner::SimSigner(std::uint64_t key_seed) {
    crypto::CanonicalWriter writer;
    writer.number(key_seed);
    secret_ = crypto::digest_of("sim-secret", writer.view());
    public_key_.bytes = crypto::digest_of("sim-public", secret_.view()).bytes;
}

crypto::Signature SimSigner::sign(ByteView message) const {
    return tag_of(secret_, message);
}

bool SimVerifier::verify(const crypto::PublicKey& key, ByteView message, const crypto::Signature& signature) const {
    ++verifications_;
    const auto secret = secrets_.find(key);
    return secret != secrets_.end() && tag_of(secret->second, message) == signature;
}

}  // namespace loyal::sim
