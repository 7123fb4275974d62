// How a client gets a proof: the receipt of an operation that it has done, from w replicas that sign the same, or one
// replica's proof of a key at its newest stable checkpoint. What a liar or a laggard answers is checked and passed
// over. Blocks; any thread but the client's own.
#pragma once

#include <cstdint>

#include "client/client.h"
#include "client/proof/proof_file.h"
#include "client/proof/verify_proof.h"

namespace loyal::proof {

// `operation` is what `done` (Certainty::done) came of. Errc::timed_out: fewer than w replicas gave the same receipt in
// time; the operation is done all the same. Errc::not_found: so many replicas have forgotten the block, or never made a
// result of it (an operation that was retried is in the block that executed it first), that w cannot be had.
[[nodiscard]] Result<Proof> collect_receipt(client::Client& client, const ProofVerifier& verifier,
                                            const kvstore::Operation& operation, const client::WriteResult& done,
                                            std::uint64_t timeout_ms);

// Asks all replicas and takes the newest valid proof of those that answer until one has, and a little longer.
// Errc::unavailable: nobody has a stable checkpoint yet, and other reasons; the message is a replica's.
[[nodiscard]] Result<Proof> collect_state_proof(client::Client& client, const ProofVerifier& verifier, ByteView key,
                                                std::uint64_t timeout_ms);

}  // namespace loyal::proof
