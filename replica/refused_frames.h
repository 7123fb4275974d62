// What a peer's frame that was refused proves against whoever signed what is in it (evidence E5, E6). Thread-safe.
#pragma once

#include <optional>

#include "config/bytes.h"
#include "consensus/evidence.h"

namespace loyal::replica {

// Call after decoding or verifying failed; costs as much again.
[[nodiscard]] std::optional<consensus::Evidence> proof_in_refused(const consensus::MessageVerifier& verifier,
                                                                  ByteView frame);

}  // namespace loyal::replica
