// Arbitrary, well-formed values of every message, drawn inside a RapidCheck property (so that they shrink).
#pragma once

#include "consensus/messages.h"
#include "wire/client_messages.h"

namespace loyal::wire::test {

[[nodiscard]] inline consensus::ClusterContext context() {
    return {crypto::digest_of("cluster", view_of("wire tests")), consensus::Epoch(3)};
}

[[nodiscard]] Bytes any_bytes(std::size_t size_max);
[[nodiscard]] crypto::Digest any_digest();
[[nodiscard]] crypto::Signature any_signature();
[[nodiscard]] consensus::View any_view();
[[nodiscard]] consensus::Height any_height();
[[nodiscard]] consensus::ReplicaId any_replica();

[[nodiscard]] consensus::Envelope any_envelope();
[[nodiscard]] consensus::Header any_header();
[[nodiscard]] consensus::BlockPtr any_block();
[[nodiscard]] consensus::Vote any_vote();
[[nodiscard]] consensus::Certificate any_certificate();
[[nodiscard]] consensus::ViewChange any_view_change(bool with_attachment);
[[nodiscard]] consensus::PeerMessage any_peer_message();

[[nodiscard]] kvstore::Range any_range();
[[nodiscard]] kvstore::Query any_query();
[[nodiscard]] ClientMessage any_client_message();
[[nodiscard]] kvstore::Outcome any_outcome();
[[nodiscard]] ReplicaMessage any_replica_message();

// Field by field, through everything that they point to.
[[nodiscard]] bool same(const consensus::PeerMessage& a, const consensus::PeerMessage& b);
[[nodiscard]] bool same(const ClientMessage& a, const ClientMessage& b);
[[nodiscard]] bool same(const ReplicaMessage& a, const ReplicaMessage& b);

}  // namespace loyal::wire::test
