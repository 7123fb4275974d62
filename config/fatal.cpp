#include "config/fatal.h"

#include <unistd.h>

#include <cstdio>

namespace loyal {
namespace {

// One write(2) a line, so that lines of several threads do not mix.
void print_line(std::string_view name, int code, const std::string& message) noexcept {
    try {
        std::string line = "fatal: ";
        line.append(name).append(" (exit ").append(std::to_string(code)).append("): ");
        for (const char letter : message) {
            line.push_back(letter == '\n' || letter == '\r' ? ' ' : letter);
        }
        line.push_back('\n');
        std::fflush(stderr);
        [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
    } catch (...) {  // out of memory: the exit code alone must do
    }
}

}  // namespace

std::string_view name_of(FatalCode code) noexcept {
    switch (code) {
        case FatalCode::config: return "config";
        case FatalCode::key: return "key";
        case FatalCode::corrupted: return "corrupted";
        case FatalCode::internal: return "internal";
        case FatalCode::port_in_use: return "port_in_use";
        case FatalCode::data_missing: return "data_missing";
        case FatalCode::data_foreign: return "data_foreign";
        case FatalCode::data_in_use: return "data_in_use";
        case FatalCode::disk_full: return "disk_full";
        case FatalCode::io: return "io";
        case FatalCode::crash_stop: return "crash_stop";
        case FatalCode::system: return "system";
    }
    return "unknown";
}

void fatal(FatalCode code, const std::string& message) noexcept {
    print_line(name_of(code), static_cast<int>(code), message);
    ::_exit(static_cast<int>(code));
}

}  // namespace loyal
