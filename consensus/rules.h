// Test switches: single rules of the protocol that a directed test may leave out, to show that it fails without them
// (docs/PROTOCOL.md, pitfalls). Nothing outside tests and the simulator's mutants sets one; the default is every rule.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace loyal::consensus {

class RuleSet {
 public:
    RuleSet() = default;
    explicit RuleSet(const std::vector<std::string>& off) : off_(off.begin(), off.end()) {}
    [[nodiscard]] bool all() const { return off_.empty(); }
    [[nodiscard]] bool has(std::string_view rule) const { return off_.empty() || !off_.contains(rule); }

 private:
    std::set<std::string, std::less<>> off_;
};

}  // namespace loyal::consensus
