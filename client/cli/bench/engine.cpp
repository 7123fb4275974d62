#include "client/cli/bench/engine.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "client/cli/bytes_argument.h"

namespace loyal::cli {

namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t now_ns() {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count());
}

constexpr std::uint64_t pause_ns = 10'000'000;  // how often callers that are not under way are looked at
constexpr std::uint64_t second_ns = 1'000'000'000;

struct Caller {
    client::Client* client = nullptr;
    std::uint64_t number = 0;  // in the history; a new one after an unknown outcome, whose operation is still open
    std::uint64_t count = 0;   // of values made
    BenchOp op = BenchOp::put;
    std::uint64_t key = 0;
    std::string value;
    std::string expect;
    std::uint64_t intended_ns = 0;
    std::uint64_t call_ns = 0;
};

// What came of one operation, reads and writes alike.
struct Ending {
    HistoryStatus status = HistoryStatus::ok;
    bool applied = true;
    std::optional<std::string> out;
    std::optional<Failure> failure;
};

Ending ending_of(const client::WriteResult& result) {
    Ending ending;
    if (result.certainty == client::Certainty::done && result.outcome.status == kvstore::Status::mismatch) {
        ending.applied = false;
        return ending;
    }
    if (Answer<void> answer = judge(result); !answer) {
        ending.status = answer.error().exit == Exit::maybe_applied ? HistoryStatus::unknown : HistoryStatus::fail;
        ending.applied = false;
        ending.failure = std::move(answer.error());
    }
    return ending;
}

Ending ending_of(const client::ReadResult& result) {
    Ending ending;
    if (Answer<void> answer = judge(result); !answer) {
        ending.status = HistoryStatus::fail;
        ending.failure = std::move(answer.error());
    } else if (!result.range.items.empty()) {
        ending.out = string_of(result.range.items.front().value);
    }
    return ending;
}

}  // namespace

const char* name_of(BenchOp op) {
    switch (op) {
        case BenchOp::put: return "put";
        case BenchOp::get: return "get";
        case BenchOp::cas: break;
    }
    return "cas";
}

// Completions hold a share of it: they may come after the engine has given up waiting. Everything but the constants is
// guarded by `mutex`; a Caller belongs to whoever took it from `idle` until its completion.
struct BenchEngine::State : std::enable_shared_from_this<BenchEngine::State> {
    State(BenchPlan p, std::vector<client::Client*> clients, HistoryFile* h)
        : plan(std::move(p)), history(h), chooser(plan.shape.keys, plan.zipf), random(plan.seed) {
        callers.resize(plan.callers);
        for (std::size_t i = 0; i < callers.size(); ++i) {
            callers[i].client = clients[i % clients.size()];
            callers[i].number = i;
            idle.push_back(&callers[i]);
        }
        std::reverse(idle.begin(), idle.end());
        if (plan.mix.cas) {
            known.resize(plan.shape.keys);
        }
    }

    const BenchPlan plan;
    HistoryFile* const history;
    const KeyChooser chooser;

    std::mutex mutex;
    std::condition_variable changed;
    std::mt19937_64 random;
    std::vector<Caller> callers;
    std::vector<Caller*> idle;
    bool open = false;  // more operations may start
    bool loading = false;
    std::uint64_t load_next = 0;
    std::uint64_t due_ns = 0;                       // next intended start, with a rate
    std::vector<std::optional<std::string>> known;  // cas: the value a key had when last heard of
    BenchReport report;
    std::uint64_t answered = 0;
    std::uint64_t errors = 0;
    std::optional<Failure> fatal;
    std::optional<Failure> last;

    [[nodiscard]] bool all_idle() const { return idle.size() == callers.size(); }

    // Chooses the caller's next operation; false when it has to wait or there is none.
    bool prepare(Caller& caller, std::uint64_t now) {
        if (!open) {
            return false;
        }
        caller.intended_ns = now;
        if (loading) {
            if (load_next == plan.shape.keys) {
                return false;
            }
            caller.op = BenchOp::put;
            caller.key = load_next++;
        } else {
            if (plan.rate_per_s > 0.0) {
                if (due_ns > now) {
                    return false;
                }
                caller.intended_ns = due_ns;
                due_ns += static_cast<std::uint64_t>(static_cast<double>(second_ns) / plan.rate_per_s);
            }
            choose(caller);
        }
        if (caller.op != BenchOp::get) {
            caller.value = value_text(plan.shape, caller.number, caller.count++);
        }
        return true;
    }

    void choose(Caller& caller) {
        caller.key = chooser(random);
        if (plan.mix.cas) {
            const auto& value = known[caller.key];
            caller.op = value ? BenchOp::cas : BenchOp::get;
            caller.expect = value.value_or("");
            return;
        }
        const bool read = std::uniform_int_distribution<unsigned>(1, 100)(random) <= plan.mix.read_percent;
        caller.op = read ? BenchOp::get : BenchOp::put;
    }

    // Without the mutex: the client may answer at once.
    void issue(Caller& caller) {
        Bytes key = bytes_of(key_text(plan.shape, caller.key));
        caller.call_ns = now_ns();
        auto done = [self = shared_from_this(), &caller](const auto& result) {
            self->complete(caller, ending_of(result));
        };
        switch (caller.op) {
            case BenchOp::get: {
                kvstore::Range range;
                range.begin = std::move(key);
                caller.client->read(std::move(range), done);
                break;
            }
            case BenchOp::put: caller.client->write(kvstore::Put{std::move(key), bytes_of(caller.value)}, done); break;
            case BenchOp::cas:
                caller.client->write(
                    kvstore::CompareAndSet{std::move(key), bytes_of(caller.expect), bytes_of(caller.value)}, done);
                break;
        }
    }

    void complete(Caller& caller, const Ending& ending) {
        const std::uint64_t now = now_ns();
        if (history != nullptr) {
            history->add(entry_of(caller, ending, now));
        }
        bool again = false;
        {
            const std::lock_guard lock(mutex);
            count(caller, ending, now);
            learn(caller, ending);
            // A caller that failed waits a little: a cluster that refuses at once is not to be asked in a tight loop.
            again = !ending.failure && prepare(caller, now);
            if (!again) {
                idle.push_back(&caller);
            }
            if (all_idle()) {
                changed.notify_all();
            }
        }
        if (again) {
            issue(caller);
        }
    }

    [[nodiscard]] HistoryEntry entry_of(const Caller& caller, const Ending& ending, std::uint64_t now) const {
        HistoryEntry entry;
        entry.client = caller.number;
        entry.op = name_of(caller.op);
        entry.key = key_text(plan.shape, caller.key);
        if (caller.op != BenchOp::get) {
            entry.value = caller.value;
        }
        if (caller.op == BenchOp::cas) {
            entry.expect = caller.expect;
            if (ending.status == HistoryStatus::ok) {
                entry.applied = ending.applied;
            }
        }
        entry.out = ending.out;
        entry.status = ending.status;
        entry.call_ns = caller.call_ns;
        entry.return_ns = now;
        return entry;
    }

    void count(Caller& caller, const Ending& ending, std::uint64_t now) {
        BenchTally& tally = report.by_op[static_cast<std::size_t>(caller.op)];
        if (!ending.failure) {
            if (!loading) {
                ++answered;
                tally.latency_ns.record(now > caller.intended_ns ? now - caller.intended_ns : 0);
                tally.mismatched += ending.applied ? 0 : 1;
            }
            return;
        }
        ++errors;
        ++(ending.status == HistoryStatus::unknown ? tally.unknown : tally.failed);
        report.last_error = ending.failure->message;
        last = ending.failure;
        if (ending.status == HistoryStatus::unknown) {
            caller.number += callers.size();
        }
        if (loading || ending.failure->exit == Exit::not_allowed || ending.failure->exit == Exit::usage) {
            fatal = ending.failure;
            open = false;
        }
    }

    void learn(const Caller& caller, const Ending& ending) {
        if (!plan.mix.cas) {
            return;
        }
        auto& value = known[caller.key];
        if (caller.op == BenchOp::get) {
            value = ending.failure ? std::nullopt : ending.out;
        } else if (!ending.failure && ending.applied) {
            value = caller.value;
        } else if (!value || *value == caller.expect) {
            value.reset();  // another caller was faster: ask
        }
    }

    // Starts every idle caller that may start.
    void start_idle() {
        std::vector<Caller*> ready;
        {
            const std::lock_guard lock(mutex);
            const std::uint64_t now = now_ns();
            while (!idle.empty() && prepare(*idle.back(), now)) {
                ready.push_back(idle.back());
                idle.pop_back();
            }
        }
        for (Caller* caller : ready) {
            issue(*caller);
        }
    }

    // Until the next intended start, at most `pause_ns`, or until all callers are idle.
    void wait(std::uint64_t end_ns) {
        std::unique_lock lock(mutex);
        std::uint64_t until = now_ns() + pause_ns;
        if (plan.rate_per_s > 0.0 && !loading && !idle.empty()) {
            until = std::min(until, due_ns);
        }
        until = std::min(until, end_ns);
        if (all_idle() && loading) {
            return;
        }
        changed.wait_until(lock, Clock::time_point(std::chrono::nanoseconds(static_cast<std::int64_t>(until))),
                           [&] { return loading && all_idle(); });
    }

    // No more operations start; true when all that were under way ended within drain_ms.
    [[nodiscard]] bool drain() {
        std::unique_lock lock(mutex);
        open = false;
        return changed.wait_for(lock, std::chrono::milliseconds(plan.drain_ms), [&] { return all_idle(); });
    }
};

BenchEngine::BenchEngine(BenchPlan plan, std::vector<client::Client*> clients, HistoryFile* history)
    : state_(std::make_shared<State>(std::move(plan), std::move(clients), history)) {}

BenchEngine::~BenchEngine() = default;

Answer<void> BenchEngine::load(const std::atomic<bool>& stop) {
    State& state = *state_;
    {
        const std::lock_guard lock(state.mutex);
        state.open = true;
        state.loading = true;
    }
    for (;;) {
        state.start_idle();
        {
            const std::lock_guard lock(state.mutex);
            if (state.all_idle() || !state.open || stop.load()) {
                break;
            }
        }
        state.wait(UINT64_MAX);
    }
    const bool drained = state.drain();
    const std::lock_guard lock(state.mutex);
    state.loading = false;
    if (state.fatal) {
        Failure failure = *state.fatal;
        failure.message = "loading the keys: " + failure.message;
        return tl::unexpected<Failure>(std::move(failure));
    }
    if (!drained) {
        return refuse(Exit::maybe_applied, "timed_out", "loading the keys did not end");
    }
    return {};
}

Answer<BenchReport> BenchEngine::run(const std::function<void(const BenchProgress&)>& progress,
                                     const std::atomic<bool>& stop) {
    State& state = *state_;
    const std::uint64_t begin = now_ns();
    const std::uint64_t end = begin + static_cast<std::uint64_t>(state.plan.seconds * static_cast<double>(second_ns));
    std::uint64_t next_progress = begin + second_ns;
    {
        const std::lock_guard lock(state.mutex);
        state.open = true;
        state.due_ns = begin;
    }
    for (std::uint64_t now = begin; now < end && !stop.load(); now = now_ns()) {
        state.start_idle();
        if (now >= next_progress) {
            BenchProgress shown;
            {
                const std::lock_guard lock(state.mutex);
                if (!state.open) {
                    break;
                }
                shown = {static_cast<double>(now - begin) / static_cast<double>(second_ns), state.answered,
                         state.errors};
            }
            progress(shown);
            next_progress += second_ns;
        }
        state.wait(end);
    }
    const bool drained = state.drain();
    const std::lock_guard lock(state.mutex);
    if (state.fatal) {
        return tl::unexpected<Failure>(*state.fatal);
    }
    if (state.answered == 0 && state.last) {
        return tl::unexpected<Failure>(*state.last);
    }
    BenchReport report = state.report;
    report.seconds = static_cast<double>(now_ns() - begin) / static_cast<double>(second_ns);
    report.drained = drained;
    return report;
}

}  // namespace loyal::cli
