// Shared by the codec's files only; includes Protobuf, so no other header may include it.
#pragma once

#include <memory>
#include <string>

#include "config/assert.h"
#include "config/bytes.h"
#include "config/limits.h"
#include "config/result.h"
#include "consensus/types.h"
#include "crypto/digest.h"
#include "wire/loyal.pb.h"

namespace loyal::wire::detail {

[[nodiscard]] inline ByteView view(const std::string& text) {
    return view_of(text);
}
inline void assign(std::string* out, ByteView bytes) {
    out->assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}
[[nodiscard]] inline Bytes owned(const std::string& text) {
    return bytes_of(text);
}
// One copy, into the buffer that everything parsed from it will share.
[[nodiscard]] inline SharedBytes shared(const std::string& text) {
    const ByteView bytes = view_of(text);
    return std::make_shared<const Bytes>(bytes.begin(), bytes.end());
}

template <class Message>
[[nodiscard]] Bytes serialize(const Message& message) {
    Bytes out(message.ByteSizeLong());
    message.SerializeWithCachedSizesToArray(out.data());
    return out;
}

// How often field `inner` occurs in all occurrences of field `outer`, at most `limit` + 1; more than `limit` also when
// the bytes are malformed. Counted before anything is allocated: an empty element is two bytes on the wire and fifty in
// memory.
[[nodiscard]] std::size_t count_elements(ByteView frame, int outer, int inner, std::size_t limit);

template <class Message>
[[nodiscard]] Result<void> parse(Message& message, ByteView frame, const char* what) {
    if (frame.empty() || frame.size() > limits::frame_bytes_max) {
        return fail(Errc::invalid_argument,
                    std::string(what) + ": a frame of " + std::to_string(frame.size()) + " bytes");
    }
    if (!message.ParseFromArray(frame.data(), static_cast<int>(frame.size()))) {
        return fail(Errc::invalid_argument, std::string(what) + ": not a Protobuf message of this kind");
    }
    return {};
}

[[nodiscard]] inline tl::unexpected<Error> malformed(const char* message, const std::string& why) {
    return fail(Errc::invalid_argument, std::string(message) + ": " + why);
}
// Names the message in which a canonical part was refused.
[[nodiscard]] inline tl::unexpected<Error> inside(const char* message, const Error& error) {
    return tl::unexpected(Error{error.code, std::string(message) + ": " + error.message});
}

template <class Fixed>
[[nodiscard]] bool fixed_bytes(const std::string& text, Fixed& out) {
    if (text.size() != out.bytes.size()) {
        return false;
    }
    std::memcpy(out.bytes.data(), text.data(), text.size());
    return true;
}
[[nodiscard]] inline bool replica_ok(std::uint32_t id) {
    return id < limits::replicas_max;
}
[[nodiscard]] inline consensus::ReplicaId replica(std::uint32_t id) {
    return consensus::ReplicaId(static_cast<std::uint16_t>(id));
}

// Bounds of plain fields.
[[nodiscard]] inline bool view_ok(std::uint64_t view) {
    return view <= limits::view_max;
}
[[nodiscard]] inline bool height_ok(std::uint64_t height) {
    return height <= limits::height_max;
}

}  // namespace loyal::wire::detail
