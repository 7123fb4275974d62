// Result<T>: what a function returns when the world may say no.
//
// Three kinds of failure are kept apart in this code base. Our own bugs are asserted (LOYAL_ASSERT, also in
// release builds). What the world does (bad input, a full disk, a lost peer) is an Error in a Result. What cannot be
// survived ends the process through config/fatal.h with a named exit code.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace loyal {

enum class Errc {
    invalid_argument,  // input that breaks a documented bound or form
    not_found,
    corrupted,  // a checksum, seal or hash chain did not verify
    io,         // the operating system refused
    disk_full,
    permission,   // key unknown, right missing, or a secret that others can read
    unauthentic,  // a signature or an authentication tag did not verify
    unavailable,  // nobody could serve it now; surely not applied
    timed_out,    // may have been applied
    conflict,     // contradicts something that is already there
    internal,
};

[[nodiscard]] std::string_view to_string(Errc code) noexcept;

// `message` names the thing that is wrong and, where there is one, the remedy.
struct Error {
    Errc code = Errc::internal;
    std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

[[nodiscard]] inline tl::unexpected<Error> fail(Errc code, std::string message) {
    return tl::unexpected<Error>(Error{code, std::move(message)});
}

}  // namespace loyal
