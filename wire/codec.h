// Conversion between typed messages and the bytes of a frame (Protobuf, loyal.proto). Encoding never fails. Decoding
// bounds the bytes first, then every repeated field, then converts; it never throws, allocates no more than a small
// multiple of the frame, and names what is wrong. Unknown Protobuf fields are ignored (evolution); nothing signed
// depends on Protobuf's output. Thread-safe.
#pragma once

#include <vector>

#include "config/bytes.h"
#include "config/result.h"
#include "consensus/messages.h"
#include "wire/client_messages.h"

namespace loyal::wire {

[[nodiscard]] Bytes encode(const consensus::PeerMessage& message);
[[nodiscard]] Result<consensus::PeerMessage> decode_peer(const consensus::ClusterContext& context, ByteView frame);

[[nodiscard]] Bytes encode(const ClientMessage& message);
[[nodiscard]] Result<ClientMessage> decode_client(ByteView frame);
// Such a frame is a Read or malformed, so to decode it costs no check of a signature.
[[nodiscard]] bool begins_as_read(ByteView client_frame);

[[nodiscard]] Bytes encode(const ReplicaMessage& message);
// As above, but every frame is at most `frame_bytes_max` long (at least 1 KiB; 0: limits::frame_bytes_max): a Reply is
// cut into several, and an outcome or a read result that is too long for any frame is sent as its digest alone. What a
// replica sends to clients goes through this: a client may ask for more results at once than a frame holds.
[[nodiscard]] std::vector<Bytes> encode_frames(const ReplicaMessage& message, std::size_t frame_bytes_max = 0);
[[nodiscard]] Result<ReplicaMessage> decode_replica(ByteView frame);

}  // namespace loyal::wire
