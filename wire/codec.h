// Conversion between typed messages and the bytes of a frame (Protobuf, loyal.proto). Encoding never fails. Decoding
// bounds the bytes first, then every repeated field, then converts; it never throws, allocates no more than a small
// multiple of the frame, and names what is wrong. Unknown Protobuf fields are ignored (evolution); nothing signed
// depends on Protobuf's output. Thread-safe.
#pragma once

#include "config/bytes.h"
#include "config/result.h"
#include "consensus/messages.h"
#include "wire/client_messages.h"

namespace loyal::wire {

[[nodiscard]] Bytes encode(const consensus::PeerMessage& message);
[[nodiscard]] Result<consensus::PeerMessage> decode_peer(const consensus::ClusterContext& context, ByteView frame);

[[nodiscard]] Bytes encode(const ClientMessage& message);
[[nodiscard]] Result<ClientMessage> decode_client(ByteView frame);

[[nodiscard]] Bytes encode(const ReplicaMessage& message);
[[nodiscard]] Result<ReplicaMessage> decode_replica(ByteView frame);

}  // namespace loyal::wire
