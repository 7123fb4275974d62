// Exit codes of `loyal` and the failures that lead to them (contract: "Exit codes"). A command returns an Answer: its
// exit code, or a Failure, which the program prints on standard error (as JSON with `-w json`) and exits with.
#pragma once

#include <string>

#include <tl/expected.hpp>

#include "config/result.h"

namespace loyal::client {
struct WriteResult;
struct ReadResult;
}  // namespace loyal::client

namespace loyal::cli {

enum class Exit : int {
    done = 0,
    negative = 1,       // key not found, comparison failed, cluster unhealthy
    usage = 2,          // bad usage or input
    not_applied = 3,    // unavailable and definitely not applied
    maybe_applied = 4,  // timed out and may have been applied
    not_allowed = 5,    // unknown key, right missing
    integrity = 6,      // a proof, checksum or quorum of answers did not verify
    internal = 7,
};

struct Failure {
    Exit exit = Exit::internal;
    std::string code;     // stable, for programs: "not_found", "unavailable", ...
    std::string message;  // what happened and what to do
};

template <class T>
using Answer = tl::expected<T, Failure>;

[[nodiscard]] tl::unexpected<Failure> refuse(Exit exit, std::string code, std::string message);
// Bad usage or input: exit 2, code "bad_input".
[[nodiscard]] tl::unexpected<Failure> refuse_input(std::string message);
// What a library function said no to.
[[nodiscard]] Failure failure_of(const Error& error);
// The same for something that the user named (a file, a folder): what is missing or malformed there is bad input.
[[nodiscard]] Failure input_failure_of(const Error& error);

// A write that was done and said yes is Exit::done. A negative answer (absent key, failed comparison) is a Failure too.
[[nodiscard]] Answer<void> judge(const client::WriteResult& result);
// A read that found nothing is not a failure here: the caller knows whether it asked for one key or for a range.
[[nodiscard]] Answer<void> judge(const client::ReadResult& result);

// One line of text, or {"error":{"code","message","exit","applied"}} and a newline.
[[nodiscard]] std::string describe(const Failure& failure, bool as_json);

}  // namespace loyal::cli
