#include "sim/swarm.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <type_traits>

#include "config/assert.h"

namespace loyal::sim {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t reason_bytes_max = 4'000;

struct Record {  // what a worker sends for each run, followed by the reason
    std::uint64_t seed = 0;
    std::uint64_t passed = 0;
    std::uint64_t reason_bytes = 0;
    RunNumbers numbers;
};
static_assert(std::is_trivially_copyable_v<Record>);

bool write_all(int file, const void* data, std::size_t size) {
    const auto* at = static_cast<const char*>(data);
    while (size > 0) {
        const ssize_t written = ::write(file, at, size);
        if (written <= 0) {
            return false;
        }
        at += written;
        size -= static_cast<std::size_t>(written);
    }
    return true;
}

// A child process that runs scenarios one after the other and reports each.
class Worker {
 public:
    using Next = std::function<std::optional<Scenario>()>;  // runs in the child

    explicit Worker(const Next& next, bool go_on = false) {
        int ends[2] = {-1, -1};
        error_.reset(std::tmpfile());
        LOYAL_ASSERT(error_ && ::pipe(ends) == 0, "a worker needs a pipe and a temporary file");
        std::fflush(nullptr);
        pid_ = ::fork();
        LOYAL_ASSERT(pid_ >= 0, "a worker process can be started");
        if (pid_ == 0) {
            ::close(ends[0]);
            ::dup2(::fileno(error_.get()), STDERR_FILENO);
            work(next, go_on, ends[1]);
        }
        ::close(ends[1]);
        input_ = ends[0];
        last_sign_ = Clock::now();
    }
    ~Worker() {
        stop();
        ::close(input_);
    }
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    struct Report {
        std::uint64_t seed = 0;
        RunResult result;
    };
    [[nodiscard]] int input() const { return input_; }
    // Reads what has arrived. False at the end of the stream.
    bool read_some() {
        char chunk[16 * 1024];
        const ssize_t size = ::read(input_, chunk, sizeof chunk);
        if (size <= 0) {
            return false;
        }
        buffer_.append(chunk, static_cast<std::size_t>(size));
        last_sign_ = Clock::now();
        return true;
    }
    [[nodiscard]] std::optional<Report> next_report() {
        Record record;
        if (buffer_.size() < sizeof record) {
            return {};
        }
        std::memcpy(&record, buffer_.data(), sizeof record);
        if (buffer_.size() < sizeof record + record.reason_bytes) {
            return {};
        }
        Report report;
        report.seed = record.seed;
        report.result.passed = record.passed != 0;
        report.result.failure = buffer_.substr(sizeof record, record.reason_bytes);
        report.result.numbers = record.numbers;
        buffer_.erase(0, sizeof record + record.reason_bytes);
        return report;
    }
    [[nodiscard]] bool silent_for(std::uint64_t seconds) const {
        return Clock::now() - last_sign_ > std::chrono::seconds(seconds);
    }
    // Ends the child and says what it wrote last.
    [[nodiscard]] std::string last_words() {
        const int status = stop();
        std::string text(reason_bytes_max, '\0');
        std::fseek(error_.get(), 0, SEEK_END);
        const long size = std::ftell(error_.get());
        std::fseek(error_.get(), std::max(0L, size - static_cast<long>(text.size())), SEEK_SET);
        text.resize(std::fread(text.data(), 1, text.size(), error_.get()));
        while (!text.empty() && text.back() == '\n') {
            text.pop_back();
        }
        const std::string how = WIFSIGNALED(status) ? fmt::format("killed by signal {}", WTERMSIG(status))
                                                    : fmt::format("exit {}", WEXITSTATUS(status));
        return how + (text.empty() ? "" : ": " + text);
    }

 private:
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };

    [[noreturn]] static void work(const Next& next, bool go_on, int output) {
        while (const auto scenario = next()) {
            RunOptions options;
            options.go_on = go_on;
            RunResult result = run_scenario(*scenario, options);
            result.failure.resize(std::min(result.failure.size(), reason_bytes_max));
            const Record record{scenario->seed, result.passed ? 1U : 0U, result.failure.size(), result.numbers};
            if (!write_all(output, &record, sizeof record) ||
                !write_all(output, result.failure.data(), result.failure.size())) {
                break;
            }
        }
        ::_exit(0);
    }
    int stop() {
        int status = 0;
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);  // no effect on one that has ended by itself
            ::waitpid(pid_, &status, 0);
            pid_ = -1;
        }
        return status;
    }

    std::unique_ptr<std::FILE, Close> error_;
    pid_t pid_ = -1;
    int input_ = -1;
    std::string buffer_;
    Clock::time_point last_sign_;
};

void add(RunNumbers& total, const RunNumbers& one) {
    total.virtual_us += one.virtual_us;
    total.recovery_us = std::max(total.recovery_us, one.recovery_us);
    total.slowest_us = std::max(total.slowest_us, one.slowest_us);
    total.events += one.events;
    total.messages += one.messages;
    total.blocks += one.blocks;
    total.operations += one.operations;
    total.done += one.done;
    total.unknown += one.unknown;
    total.reads_fast += one.reads_fast;
    total.reads_ordered += one.reads_ordered;
    total.reads_failed += one.reads_failed;
    total.changes_told += one.changes_told;
    total.view = std::max(total.view, one.view);
    total.crashes += one.crashes;
    total.checkpoint = std::max(total.checkpoint, one.checkpoint);
    total.installs += one.installs;
    total.amnesias += one.amnesias;
    total.accusations += one.accusations;
    total.undecided += one.undecided;
    total.view_changes += one.view_changes;
    total.completed += one.completed;
    total.disagreed += one.disagreed;
    total.unsafe += one.unsafe;
    total.delay_max_us = std::max(total.delay_max_us, one.delay_max_us);
    total.lost += one.lost;
    total.trace_hash ^= one.trace_hash;
}

// Worker i runs the seeds first+i, first+i+jobs, ...; a new worker takes over behind a seed that ended the old one.
class Swarm {
 public:
    Swarm(const SwarmOptions& options, const std::function<void(const SwarmReport&)>& progress)
        : options_(options), progress_(progress) {}

    [[nodiscard]] SwarmReport run() {
        const std::size_t jobs = std::max<std::size_t>(1, options_.jobs);
        for (std::size_t i = 0; i < jobs; ++i) {
            lanes_.push_back(Lane{options_.first + i, nullptr});
            start(lanes_.back());
        }
        while (std::any_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.worker != nullptr; })) {
            wait();
        }
        std::sort(report_.failures.begin(), report_.failures.end(),
                  [](const SwarmFailure& a, const SwarmFailure& b) { return a.seed < b.seed; });
        return std::move(report_);
    }

 private:
    struct Lane {
        std::uint64_t next = 0;
        std::unique_ptr<Worker> worker;
    };

    [[nodiscard]] bool enough() const {
        return options_.failures_max != 0 && report_.failures.size() >= options_.failures_max;
    }
    void start(Lane& lane) {
        lane.worker.reset();
        const std::uint64_t end = options_.first + options_.seeds;
        if (lane.next >= end || enough()) {
            return;
        }
        lane.worker = std::make_unique<Worker>(
            [seed = lane.next, end, step = lanes_step(), mix = options_.mix,
             edit = options_.edit]() mutable -> std::optional<Scenario> {
                if (seed >= end) {
                    return {};
                }
                Scenario scenario = make_scenario(seed, mix);
                if (edit) {
                    edit(scenario);
                }
                seed += step;
                return scenario;
            },
            options_.go_on);
    }
    [[nodiscard]] std::uint64_t lanes_step() const { return std::max<std::size_t>(1, options_.jobs); }

    void wait() {
        std::vector<pollfd> polls;
        for (const Lane& lane : lanes_) {
            polls.push_back(pollfd{lane.worker ? lane.worker->input() : -1, POLLIN, 0});
        }
        ::poll(polls.data(), polls.size(), 500);
        for (std::size_t i = 0; i < lanes_.size(); ++i) {
            Lane& lane = lanes_[i];
            if (!lane.worker) {
                continue;
            }
            const bool stream_ended = polls[i].revents != 0 && !lane.worker->read_some();
            while (const auto report = lane.worker->next_report()) {
                take(lane, *report);
            }
            if (enough()) {
                lane.worker.reset();
            } else if (stream_ended) {
                worker_ended(lane);
            } else if (lane.worker->silent_for(options_.seed_time_max_s)) {
                fail(lane, fmt::format("no end within {} s", options_.seed_time_max_s));
            }
        }
        if (progress_) {
            progress_(report_);
        }
    }
    void take(Lane& lane, const Worker::Report& report) {
        ++report_.ran;
        lane.next = report.seed + lanes_step();
        add(report_.totals, report.result.numbers);
        if (options_.on_run) {
            options_.on_run(report.seed, report.result);
        }
        if (!report.result.passed) {
            report_.failures.push_back({report.seed, report.result.failure});
        }
    }
    void worker_ended(Lane& lane) {
        if (lane.next >= options_.first + options_.seeds) {
            lane.worker.reset();
            return;
        }
        fail(lane, lane.worker->last_words());
    }
    void fail(Lane& lane, const std::string& reason) {
        ++report_.ran;
        report_.failures.push_back({lane.next, reason});
        if (options_.on_run) {
            RunResult result;
            result.failure = reason;
            result.numbers.unsafe = 1;  // an assertion, or a run without an end
            options_.on_run(lane.next, result);
        }
        lane.next += lanes_step();
        start(lane);
    }

    const SwarmOptions& options_;
    const std::function<void(const SwarmReport&)>& progress_;
    std::vector<Lane> lanes_;
    SwarmReport report_;
};

}  // namespace

SwarmReport run_swarm(const SwarmOptions& options, const std::function<void(const SwarmReport&)>& progress) {
    return Swarm(options, progress).run();
}

RunResult run_isolated(const Scenario& scenario, std::uint64_t time_max_s) {
    bool given = false;
    Worker worker([&]() -> std::optional<Scenario> {
        return std::exchange(given, true) ? std::nullopt : std::optional<Scenario>(scenario);
    });
    while (true) {
        pollfd poll{worker.input(), POLLIN, 0};
        ::poll(&poll, 1, 500);
        const bool stream_ended = poll.revents != 0 && !worker.read_some();
        if (auto report = worker.next_report()) {
            return std::move(report->result);
        }
        if (stream_ended || worker.silent_for(time_max_s)) {
            RunResult result;
            result.failure = stream_ended ? worker.last_words() : fmt::format("no end within {} s", time_max_s);
            return result;
        }
    }
}

}  // namespace loyal::sim
