// Proof of a replica's guilt as a file: JSON with the cluster it is about and the signed statements in hexadecimal
// (docs/EXPERIMENTS.md, "Evidence"). One proof has one document.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "client/cli/failure.h"
#include "consensus/evidence.h"
#include "consensus/verifier.h"
#include "crypto/digest.h"

namespace loyal::cli {

[[nodiscard]] nlohmann::ordered_json evidence_document(const consensus::Evidence& evidence,
                                                       const crypto::Digest& cluster_id);
// Fields `kind`, `culprit`, `first`, `second`, `path`. Exit 2: they are not there; exit 6: they are no evidence.
[[nodiscard]] Answer<consensus::Evidence> evidence_of_json(const nlohmann::ordered_json& document);
// Exit 2: unreadable, or no evidence file; exit 6: altered, or of another cluster. Says nothing of signatures.
[[nodiscard]] Answer<consensus::Evidence> read_evidence_file(const std::filesystem::path& path,
                                                             const crypto::Digest& cluster_id);
// Exit 2: exists, or cannot be written.
[[nodiscard]] Answer<void> write_evidence_file(const std::filesystem::path& path, const consensus::Evidence& evidence,
                                               const crypto::Digest& cluster_id);

// ---- For people
struct ShownStatement {
    std::string title;                                        // "vote", "signed block header", ...
    std::vector<std::pair<std::string, std::string>> fields;  // in order
};
// The statements inside, decoded; of a body, what is wrong with it.
[[nodiscard]] std::vector<ShownStatement> statements_of(const consensus::MessageVerifier& verifier,
                                                        const consensus::Evidence& evidence);

}  // namespace loyal::cli
