#include "sim/checkers/linearizability.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>

namespace loyal::sim {
namespace {

using Kind = RegisterOp::Kind;
constexpr auto never = RegisterOp::never;

RegisterOp put(std::uint64_t call, std::uint64_t ret, std::string value) {
    RegisterOp op;
    op.kind = Kind::put;
    op.call = call;
    op.ret = ret;
    op.value = std::move(value);
    return op;
}
RegisterOp get(std::uint64_t call, std::uint64_t ret, std::optional<std::string> out) {
    RegisterOp op;
    op.call = call;
    op.ret = ret;
    op.out = std::move(out);
    return op;
}
RegisterOp del(std::uint64_t call, std::uint64_t ret, bool applied) {
    RegisterOp op;
    op.kind = Kind::del;
    op.call = call;
    op.ret = ret;
    op.applied = applied;
    return op;
}
RegisterOp cas(std::uint64_t call, std::uint64_t ret, std::optional<std::string> expect,
               std::optional<std::string> value, bool applied) {
    RegisterOp op;
    op.kind = Kind::cas;
    op.call = call;
    op.ret = ret;
    op.expect = std::move(expect);
    op.value = std::move(value);
    op.applied = applied;
    return op;
}
bool linearizable(const std::vector<RegisterOp>& history) {
    return check_register(history).verdict == Linearizable::yes;
}

TEST(Linearizability, an_empty_history_is_fine) {
    EXPECT_TRUE(linearizable({}));
}

TEST(Linearizability, a_read_returns_the_last_finished_write) {
    EXPECT_TRUE(linearizable({put(1, 2, "a"), put(3, 4, "b"), get(5, 6, "b")}));
    EXPECT_FALSE(linearizable({put(1, 2, "a"), put(3, 4, "b"), get(5, 6, "a")}));
}

TEST(Linearizability, a_key_is_absent_before_its_first_write) {
    EXPECT_TRUE(linearizable({get(1, 2, std::nullopt), put(3, 4, "a")}));
    EXPECT_FALSE(linearizable({get(1, 2, "a"), put(3, 4, "a")}));
    EXPECT_FALSE(linearizable({put(1, 2, "a"), get(3, 4, std::nullopt)}));
}

TEST(Linearizability, concurrent_writes_may_take_either_order) {
    EXPECT_TRUE(linearizable({put(1, 10, "a"), put(2, 9, "b"), get(11, 12, "a")}));
    EXPECT_TRUE(linearizable({put(1, 10, "a"), put(2, 9, "b"), get(11, 12, "b")}));
}

TEST(Linearizability, reads_do_not_go_back_in_time) {
    EXPECT_FALSE(linearizable({put(1, 2, "a"), put(3, 20, "b"), get(4, 5, "b"), get(6, 7, "a")}));
    EXPECT_TRUE(linearizable({put(1, 2, "a"), put(3, 20, "b"), get(4, 5, "a"), get(6, 7, "b")}));
}

TEST(Linearizability, an_unanswered_write_may_take_effect_late_or_never) {
    EXPECT_TRUE(linearizable({put(1, never, "a"), get(2, 3, std::nullopt), get(4, 5, "a")}));
    EXPECT_TRUE(linearizable({put(1, never, "a"), get(2, 3, std::nullopt)}));
    EXPECT_FALSE(linearizable({put(1, never, "a"), get(2, 3, "a"), get(4, 5, std::nullopt)}));
    EXPECT_FALSE(linearizable({get(1, 2, "a"), put(3, never, "a")}));
}

TEST(Linearizability, a_lost_acknowledged_write_is_found) {
    EXPECT_FALSE(linearizable({put(1, 2, "a"), get(3, 4, "a"), get(5, 6, std::nullopt)}));
}

TEST(Linearizability, compare_and_set_says_whether_it_applied) {
    EXPECT_TRUE(linearizable({cas(1, 2, std::nullopt, "a", true), cas(3, 4, "a", "b", true), get(5, 6, "b")}));
    EXPECT_FALSE(linearizable({cas(1, 2, std::nullopt, "a", true), cas(3, 4, "x", "b", true)}));
    EXPECT_FALSE(linearizable({cas(1, 2, std::nullopt, "a", true), cas(3, 4, "a", "b", false)}));
    // Two of the same: only one can win.
    EXPECT_FALSE(linearizable({cas(1, 9, std::nullopt, "a", true), cas(2, 8, std::nullopt, "b", true)}));
    EXPECT_TRUE(linearizable({cas(1, 9, std::nullopt, "a", true), cas(2, 8, std::nullopt, "b", false)}));
    EXPECT_TRUE(linearizable({put(1, 2, "a"), cas(3, 4, "a", std::nullopt, true), get(5, 6, std::nullopt)}));
}

TEST(Linearizability, a_delete_says_whether_there_was_something) {
    EXPECT_TRUE(linearizable({del(1, 2, false), put(3, 4, "a"), del(5, 6, true), get(7, 8, std::nullopt)}));
    EXPECT_FALSE(linearizable({del(1, 2, true)}));
    EXPECT_FALSE(linearizable({put(1, 2, "a"), del(3, 4, false)}));
}

TEST(Linearizability, a_write_executed_twice_is_found) {
    EXPECT_FALSE(linearizable({put(1, 2, "a"), put(3, 4, "b"), get(5, 6, "b"), get(7, 8, "a")}));
}

TEST(Linearizability, an_answer_names_what_cannot_be_explained) {
    auto lost = get(5, 6, std::nullopt);
    lost.who = "client 3";
    const auto result = check_register({put(1, 2, "a"), lost});
    EXPECT_EQ(result.verdict, Linearizable::no);
    EXPECT_NE(result.why.find("client 3"), std::string::npos);
}

TEST(Linearizability, a_bound_on_states_gives_no_verdict) {
    std::vector<RegisterOp> history;
    for (std::uint64_t i = 0; i < 24; ++i) {
        history.push_back(put(i, 1'000, "v" + std::to_string(i)));
    }
    history.push_back(get(1'001, 1'002, "nothing wrote this"));
    EXPECT_EQ(check_register(history, 1'000).verdict, Linearizable::unknown);
}

// ---- Against a checker that tries every order

struct Replay {
    std::optional<std::string> state;
    bool fits(const RegisterOp& op) {
        const bool known = op.ret != never;
        switch (op.kind) {
            case Kind::put: state = op.value; return true;
            case Kind::get: return !known || op.out == state;
            case Kind::del: {
                const bool existed = state.has_value();
                state.reset();
                return !known || op.applied == existed;
            }
            case Kind::cas: {
                const bool equal = state == op.expect;
                if (equal) {
                    state = op.value;
                }
                return !known || op.applied == equal;
            }
        }
        return false;
    }
};

bool every_order(const std::vector<RegisterOp>& history) {
    const std::size_t count = history.size();
    for (unsigned chosen = 0; chosen < 1U << count; ++chosen) {
        std::vector<std::size_t> order;
        bool complete = true;
        for (std::size_t i = 0; i < count; ++i) {
            if ((chosen >> i & 1U) != 0) {
                order.push_back(i);
            } else if (history[i].ret != never) {
                complete = false;
            }
        }
        if (!complete) {
            continue;
        }
        do {
            Replay replay;
            bool fits = true;
            for (std::size_t i = 0; i < order.size() && fits; ++i) {
                for (std::size_t j = i + 1; j < order.size() && fits; ++j) {
                    fits = history[order[j]].ret >= history[order[i]].call;
                }
                fits = fits && replay.fits(history[order[i]]);
            }
            if (fits) {
                return true;
            }
        } while (std::next_permutation(order.begin(), order.end()));
    }
    return false;
}

rc::Gen<RegisterOp> an_operation() {
    return rc::gen::exec([] {
        const auto value = [](bool may_be_absent) -> std::optional<std::string> {
            const int number = *rc::gen::inRange(may_be_absent ? 0 : 1, 3);
            return number == 0 ? std::nullopt
                               : std::optional<std::string>(std::string(1, static_cast<char>('a' + number)));
        };
        RegisterOp op;
        op.kind = static_cast<Kind>(*rc::gen::inRange(0, 4));
        op.call = *rc::gen::inRange<std::uint64_t>(0, 20);
        op.ret = *rc::gen::inRange(0, 5) == 0 ? never : op.call + *rc::gen::inRange<std::uint64_t>(1, 8);
        op.applied = *rc::gen::arbitrary<bool>();
        if (op.kind == Kind::put) {
            op.value = value(false);
        } else if (op.kind == Kind::cas) {
            op.expect = value(true);
            op.value = value(true);
        } else if (op.kind == Kind::get) {
            op.out = value(true);
        }
        return op;
    });
}

RC_GTEST_PROP(LinearizabilityProperty, agrees_with_trying_every_order, ()) {
    const auto count = *rc::gen::inRange<std::size_t>(0, 7);
    const auto history = *rc::gen::container<std::vector<RegisterOp>>(count, an_operation());
    const bool expected = every_order(history);
    RC_CLASSIFY(expected, "linearizable");
    RC_ASSERT(linearizable(history) == expected);
}

}  // namespace
}  // namespace loyal::sim
