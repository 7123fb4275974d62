#include "sim/checkers/linearizability.h"

#include <algorithm>
#include <map>
#include <unordered_set>

namespace loyal::sim {
namespace {

using ValueId = std::int32_t;  // values by number; 0: the key does not exist

struct Op {
    RegisterOp::Kind kind = RegisterOp::Kind::get;
    ValueId value = 0, expect = 0, out = 0;
    bool applied = true;
    bool known = true;
};

// One call or return, in a doubly linked list in order of time.
struct Entry {
    std::size_t op = 0;
    bool is_call = true;
    std::size_t previous = 0, next = 0;
    std::size_t match = 0;  // of a call: its return
};

struct Configuration {
    std::vector<std::uint64_t> done;
    ValueId state = 0;
    friend bool operator==(const Configuration&, const Configuration&) = default;
};
struct ConfigurationHash {
    std::size_t operator()(const Configuration& c) const noexcept {
        std::uint64_t hash = 0x9E3779B97F4A7C15ULL ^ static_cast<std::uint64_t>(c.state);
        for (const std::uint64_t word : c.done) {
            hash = (hash ^ word) * 0xFF51AFD7ED558CCDULL;
            hash ^= hash >> 32U;
        }
        return static_cast<std::size_t>(hash);
    }
};

struct Moment {
    std::uint64_t time = 0;
    bool is_return = false;  // calls first: operations that only touch are concurrent
    std::size_t op = 0;
    friend auto operator<=>(const Moment&, const Moment&) = default;
};

class Search {
 public:
    Search(const std::vector<RegisterOp>& history, std::uint64_t states_max);
    [[nodiscard]] LinearizabilityResult run();

 private:
    [[nodiscard]] ValueId number(const std::optional<std::string>& value);
    // The state after `op`, if its answer fits.
    [[nodiscard]] static std::optional<ValueId> apply(const Op& op, ValueId state);
    void lift(std::size_t call);
    void unlift(std::size_t call);
    void mark(std::size_t op, bool done);
    [[nodiscard]] std::string explain() const;

    static constexpr std::size_t head = 0;

    const std::vector<RegisterOp>& history_;
    std::uint64_t states_max_;
    std::map<std::string, ValueId> numbers_;
    std::vector<Op> ops_;
    std::vector<Entry> entries_;  // entry 0 is the list's head
    Configuration now_;
    std::unordered_set<Configuration, ConfigurationHash> seen_;
    std::vector<std::pair<std::size_t, ValueId>> stack_;  // lifted call, state before it
    struct {
        std::size_t depth = 0;
        ValueId state = 0;
        std::size_t blocked = 0;
    } deepest_;  // where the search got furthest
};

Search::Search(const std::vector<RegisterOp>& history, std::uint64_t states_max)
    : history_(history), states_max_(states_max) {
    std::vector<Moment> moments;
    for (std::size_t i = 0; i < history.size(); ++i) {
        const RegisterOp& op = history[i];
        const bool known = op.ret != RegisterOp::never;
        ops_.push_back(Op{op.kind, number(op.value), number(op.expect), number(op.out), op.applied, known});
        moments.push_back({op.call, false, i});
        moments.push_back({op.ret, true, i});
    }
    std::sort(moments.begin(), moments.end());
    std::vector<std::size_t> call_of(history.size());
    entries_.resize(moments.size() + 1);
    for (std::size_t i = 0; i < moments.size(); ++i) {
        const std::size_t at = i + 1;
        entries_[at] = Entry{moments[i].op, !moments[i].is_return, i, at + 1, 0};
        if (moments[i].is_return) {
            entries_[call_of[moments[i].op]].match = at;
        } else {
            call_of[moments[i].op] = at;
        }
    }
    entries_[head].next = moments.empty() ? head : 1;
    entries_.back().next = head;
    entries_[head].previous = entries_.size() - 1;
    now_.done.assign((history.size() + 63) / 64, 0);
}

ValueId Search::number(const std::optional<std::string>& value) {
    if (!value) {
        return 0;
    }
    return numbers_.try_emplace(*value, static_cast<ValueId>(numbers_.size() + 1)).first->second;
}

std::optional<ValueId> Search::apply(const Op& op, ValueId state) {
    switch (op.kind) {
        case RegisterOp::Kind::put: return op.value;
        case RegisterOp::Kind::get: return op.known && op.out != state ? std::nullopt : std::optional(state);
        case RegisterOp::Kind::del: {
            const bool existed = state != 0;
            return op.known && op.applied != existed ? std::nullopt : std::optional<ValueId>(0);
        }
        case RegisterOp::Kind::cas: {
            const bool equal = state == op.expect;
            return op.known && op.applied != equal ? std::nullopt : std::optional(equal ? op.value : state);
        }
    }
    return std::nullopt;
}

void Search::lift(std::size_t call) {
    const Entry& entry = entries_[call];
    entries_[entry.previous].next = entry.next;
    entries_[entry.next].previous = entry.previous;
    const Entry& match = entries_[entry.match];
    entries_[match.previous].next = match.next;
    entries_[match.next].previous = match.previous;
}

void Search::unlift(std::size_t call) {
    const Entry& entry = entries_[call];
    const Entry& match = entries_[entry.match];
    entries_[match.previous].next = entry.match;
    entries_[match.next].previous = entry.match;
    entries_[entry.previous].next = call;
    entries_[entry.next].previous = call;
}

void Search::mark(std::size_t op, bool done) {
    const std::uint64_t bit = std::uint64_t{1} << (op % 64);
    std::uint64_t& word = now_.done[op / 64];
    word = done ? word | bit : word & ~bit;
}

LinearizabilityResult Search::run() {
    LinearizabilityResult result;
    std::size_t at = entries_[head].next;
    while (at != head) {
        const Entry& entry = entries_[at];
        if (entry.is_call) {
            if (const auto next = apply(ops_[entry.op], now_.state)) {
                const ValueId before = now_.state;
                mark(entry.op, true);
                now_.state = *next;
                if (seen_.insert(now_).second) {
                    stack_.emplace_back(at, before);
                    lift(at);
                    at = entries_[head].next;
                    if (++result.states > states_max_) {
                        result.verdict = Linearizable::unknown;
                        return result;
                    }
                    continue;
                }
                mark(entry.op, false);
                now_.state = before;
            }
            at = entry.next;
            continue;
        }
        if (!ops_[entry.op].known) {
            return result;  // only operations without an answer are left: they need not take effect
        }
        if (stack_.size() >= deepest_.depth) {
            deepest_ = {stack_.size(), now_.state, entry.op};
        }
        if (stack_.empty()) {
            result.verdict = Linearizable::no;
            result.why = explain();
            return result;
        }
        const auto [call, state] = stack_.back();
        stack_.pop_back();
        mark(entries_[call].op, false);
        now_.state = state;
        unlift(call);
        at = entries_[call].next;
    }
    return result;
}

std::string Search::explain() const {
    const auto name = [this](ValueId id) -> std::string {
        for (const auto& [text, number] : numbers_) {
            if (number == id) {
                return text;
            }
        }
        return "(absent)";
    };
    const RegisterOp& op = history_[deepest_.blocked];
    static constexpr const char* kinds[] = {"put", "get", "del", "cas"};
    std::string text = "after " + std::to_string(deepest_.depth) + " operations the value may be " +
                       name(deepest_.state) + ", and no order explains " + op.who + " " +
                       kinds[static_cast<std::size_t>(op.kind)];
    if (op.kind == RegisterOp::Kind::get) {
        return text + " -> " + op.out.value_or("(absent)");
    }
    return text + (op.applied ? " (applied)" : " (not applied)");
}

}  // namespace

LinearizabilityResult check_register(const std::vector<RegisterOp>& history, std::uint64_t states_max) {
    return Search(history, states_max).run();
}

}  // namespace loyal::sim
