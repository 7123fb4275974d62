// What replicas answer to the lab's questions, as values of a Record. Replicas may lie or be of another release: what
// does not parse is left out, never believed and never an error. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "client/lab/record.h"
#include "consensus/evidence.h"
#include "consensus/verifier.h"

namespace loyal::lab {

// A `replicas[]` element of `status -w json`.
[[nodiscard]] Sample sample_of_status(std::uint16_t replica, double at_s, const std::string& json);
// The answer to `evidence`: what replica `by` holds, not yet checked.
struct HeldProof {
    consensus::Evidence evidence;
    std::string id;  // as the replica says
};
[[nodiscard]] std::vector<HeldProof> proofs_of_answer(const std::string& json);
// Checked with the cluster's public keys alone, and in words.
[[nodiscard]] EvidenceFound examine(const HeldProof& proof, std::uint16_t by, double at_s,
                                    const consensus::Membership& membership);
// The answer to `trace since=US` of one replica. Times in it are of CLOCK_MONOTONIC, which all processes of this
// machine share.
struct TraceEntry {
    bool sent = false;  // or received
    std::uint64_t at_us = 0;
    std::uint16_t self = 0, peer = 0;
    std::string kind;
    std::uint64_t view = 0, height = 0;
    std::string detail;
};
[[nodiscard]] std::vector<TraceEntry> trace_of_answer(std::uint16_t replica, const std::string& json);
// Sends and receipts of all replicas, joined into messages: equal link, kind, view, height and detail, in order.
[[nodiscard]] std::vector<Message> messages_of(std::vector<TraceEntry> entries, std::uint64_t start_ns, double from_s,
                                               double to_s, std::size_t count_max);

}  // namespace loyal::lab
