// What can be said against a history of puts and gets with distinct values (contract, "History files") in linear time:
// each violation found here is one of linearizability, though not every violation is found.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace loyal::system_test {

struct HistoryOp {
    bool is_put = false;
    std::string key;
    std::string value;  // put: what; get: what came, or "" for nothing
    bool acknowledged = false;
    bool failed = false;  // surely not applied
    std::uint64_t call_ns = 0;
    std::uint64_t return_ns = 0;
};

class History {
 public:
    // Throws on a malformed line.
    [[nodiscard]] static History load(const std::string& path);

    [[nodiscard]] std::uint64_t acknowledged_writes() const;
    // The longest time without an acknowledged write between `from_ns` and the last call of a put.
    [[nodiscard]] std::uint64_t longest_silence_ns(std::uint64_t from_ns) const;
    [[nodiscard]] std::uint64_t first_return_ns() const;
    // Whether `value` may be what `key` holds at `now_ns`, after everything was called: empty if so, else why not.
    [[nodiscard]] std::string objection_to(const std::string& key, const std::string& value,
                                           std::uint64_t now_ns) const;
    // The same for every get of the history itself.
    [[nodiscard]] std::vector<std::string> objections() const;
    [[nodiscard]] std::vector<std::string> keys() const;
    [[nodiscard]] std::size_t size() const { return ops_.size(); }

 private:
    [[nodiscard]] std::string objection(const std::string& key, const std::string& value, std::uint64_t call_ns,
                                        std::uint64_t return_ns) const;

    std::vector<HistoryOp> ops_;
    std::map<std::string, std::vector<const HistoryOp*>> puts_;  // of a key
};

// CLOCK_MONOTONIC, as histories have it.
[[nodiscard]] std::uint64_t monotonic_ns();

}  // namespace loyal::system_test
