// The messages of amnesia and state transfer, a part of codec_peer.cpp. Includes Protobuf: for the codec's files only.
#pragma once

#include "consensus/messages.h"
#include "wire/codec_support.h"

namespace loyal::wire::detail {

void fill(v1::PeerFrame& out, const consensus::Echo& message);
void fill(v1::PeerFrame& out, const consensus::Recover& message);
void fill(v1::PeerFrame& out, const consensus::RecoverAck& message);
void fill(v1::PeerFrame& out, const consensus::StateRequest& message);
void fill(v1::PeerFrame& out, const consensus::StateChunk& message);
// Clients ask the same (a backup).
void fill(v1::StateRequest& out, const consensus::StateRequest& message);
void fill(v1::StateChunk& out, const consensus::StateChunk& message);

[[nodiscard]] Result<consensus::PeerMessage> echo_from(const v1::Echo& in);
[[nodiscard]] Result<consensus::PeerMessage> recover_ack_from(const v1::RecoverAck& in);
[[nodiscard]] Result<consensus::StateRequest> state_request_from(const v1::StateRequest& in);
[[nodiscard]] Result<consensus::StateChunk> state_chunk_from(const v1::StateChunk& in);

}  // namespace loyal::wire::detail
