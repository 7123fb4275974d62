#include "tests/durability/report.h"

#include <cstdio>

#include <fmt/format.h>

namespace loyal::durability {

namespace {

void say(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

}  // namespace

double seconds_since(std::chrono::steady_clock::time_point then) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - then).count();
}

void Report::begin(std::string_view part, std::string_view what) {
    began_ = std::chrono::steady_clock::now();
    say(fmt::format("{}: {}\n", part, what));
}

void Report::end() {
    say(fmt::format("  in {:.1f} s\n", seconds_since(began_)));
}

void Report::line(std::string_view text) {
    say(fmt::format("  {}\n", text));
}

void Report::check(bool ok, std::string_view text) {
    ++(ok ? passed_ : failed_);
    say(fmt::format("  {}  {}\n", ok ? "ok    " : "FAILED", text));
}

void Report::skip(std::string_view why) {
    ++skipped_;
    say(fmt::format("  skipped: {}\n", why));
}

int Report::finish() const {
    if (skipped_ > 0) {
        say(fmt::format("{} skipped, reasons above\n", skipped_));
    }
    say(fmt::format("{} passed, {} failed\n", passed_, failed_));
    return failed_ == 0 ? 0 : 1;
}

}  // namespace loyal::durability
