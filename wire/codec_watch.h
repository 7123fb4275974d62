// The messages about watches, a part of codec_client.cpp and codec_replica.cpp. Includes Protobuf: for the codec's
// files only.
#pragma once

#include "wire/client_messages.h"
#include "wire/codec_support.h"

namespace loyal::wire::detail {

void fill(v1::ClientFrame& out, const Watch& message);
void fill(v1::ClientFrame& out, const Unwatch& message);
void fill(v1::ReplicaFrame& out, const WatchEvents& message);
void fill(v1::ReplicaFrame& out, const WatchProgress& message);
void fill(v1::ReplicaFrame& out, const WatchEnd& message);

[[nodiscard]] Result<ClientMessage> watch_from(const v1::Watch& in);
[[nodiscard]] Result<ClientMessage> unwatch_from(const v1::Unwatch& in);
// Before it is parsed: whether the frame has no more changes than a run may have.
[[nodiscard]] bool watch_events_bounded(ByteView frame);
[[nodiscard]] Result<ReplicaMessage> watch_events_from(const v1::WatchEvents& in);
[[nodiscard]] Result<ReplicaMessage> watch_progress_from(const v1::WatchProgress& in);
[[nodiscard]] Result<ReplicaMessage> watch_end_from(const v1::WatchEnd& in);

}  // namespace loyal::wire::detail
