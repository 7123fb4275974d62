// Report: what the parts of the durability test measured, as lines for people, and a count of checks for the script
// that runs it. Single-threaded.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace loyal::durability {

class Report {
 public:
    void begin(std::string_view part, std::string_view what);
    void end();
    // A figure or a remark; shown at once, so that a long run can be watched.
    void line(std::string_view text);
    void check(bool ok, std::string_view text);
    // Something cannot be done on this machine: neither passed nor failed, and never silent.
    void skip(std::string_view why);

    [[nodiscard]] std::uint64_t failed() const { return failed_; }
    // The last line is "N passed, M failed". The exit code.
    int finish() const;

 private:
    std::uint64_t passed_ = 0, failed_ = 0, skipped_ = 0;
    std::chrono::steady_clock::time_point began_;
};

[[nodiscard]] double seconds_since(std::chrono::steady_clock::time_point then);

}  // namespace loyal::durability
