#include "client/cli/bench/watch_bench.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "client/cli/bytes_argument.h"

namespace loyal::cli {

namespace {

using BenchClock = std::chrono::steady_clock;
using client::WatchNews;

double seconds_since(BenchClock::time_point begin) {
    return std::chrono::duration<double>(BenchClock::now() - begin).count();
}

double latency_ms(std::uint64_t ns) {
    return static_cast<double>(ns) / 1e6;
}

// One write, by its number; its watch is number % watches.
struct WriteRecord {
    BenchClock::time_point due;
    bool written = false, told = false;
};

class WatchBench {
 public:
    explicit WatchBench(const WatchBenchPlan& plan) : plan_(plan), last_(plan.watches) {
        writes_.resize(static_cast<std::size_t>(plan.rate_per_s * plan.seconds) + 1);
    }

    [[nodiscard]] Answer<void> begin(const std::vector<client::Client*>& watchers,
                                     const std::function<void(const std::string&)>& progress,
                                     const std::atomic<bool>& stop) {
        const auto begun = BenchClock::now();
        for (std::size_t i = 0; i < plan_.watches; ++i) {
            client::WatchOptions options;
            options.begin = bytes_of(prefix_of(i));
            options.end = end_of_prefix(options.begin);
            (void)watchers[i % watchers.size()]->watch(options, [this, i](const WatchNews& news) { on_news(i, news); });
        }
        std::unique_lock lock(mutex_);
        while (started_ < plan_.watches && !ended_ && !stop) {
            progress(fmt::format("{} of {} watches have begun", started_, plan_.watches));
            changed_.wait_for(lock, std::chrono::milliseconds(200));
        }
        report_.begun_seconds = seconds_since(begun);
        return failure();
    }

    [[nodiscard]] Answer<void> write(client::Client& writer, const std::function<void(const std::string&)>& progress,
                                     const std::atomic<bool>& stop) {
        const auto begun = BenchClock::now();
        auto said = begun;
        std::size_t number = 0;
        for (; number < writes_.size() - 1 && !stop; ++number) {
            const auto due = begun + std::chrono::duration_cast<BenchClock::duration>(
                                         std::chrono::duration<double>(static_cast<double>(number) / plan_.rate_per_s));
            std::this_thread::sleep_until(due);
            {
                const std::lock_guard lock(mutex_);
                if (ended_) {
                    break;
                }
                writes_[number].due = due;
                ++open_;
            }
            std::string value = std::to_string(number);
            value.resize(std::max(value.size(), plan_.value_bytes), ' ');
            kvstore::Put put;
            put.key = bytes_of(prefix_of(number % plan_.watches) + std::to_string(number / plan_.watches % 4));
            put.value = bytes_of(value);
            writer.write(std::move(put),
                         [this, number](const client::WriteResult& result) { on_written(number, result); });
            if (BenchClock::now() - said > std::chrono::seconds(1)) {
                said = BenchClock::now();
                const std::lock_guard lock(mutex_);
                progress(fmt::format("{:5.1f} s  {} written  {} told  {} failed", seconds_since(begun), report_.written,
                                     report_.told, report_.failed + report_.unknown));
            }
        }
        report_.seconds = seconds_since(begun);
        std::unique_lock lock(mutex_);
        const auto until = BenchClock::now() + std::chrono::milliseconds(plan_.drain_ms);
        changed_.wait_until(lock, until, [this] { return ended_ || (open_ == 0 && missing_ == 0); });
        return failure();
    }

    [[nodiscard]] WatchBenchReport report() {
        const std::lock_guard lock(mutex_);
        for (const WriteRecord& write : writes_) {
            report_.lost += write.written && !write.told ? 1 : 0;
        }
        return report_;
    }

 private:
    [[nodiscard]] std::string prefix_of(std::size_t watch) const {
        return fmt::format("{}{:06}/", plan_.prefix, watch);
    }
    [[nodiscard]] Answer<void> failure() const {
        if (ended_) {
            return tl::unexpected<Failure>(*ended_);
        }
        return {};
    }

    void on_written(std::size_t number, const client::WriteResult& result) {
        const std::lock_guard lock(mutex_);
        --open_;
        WriteRecord& write = writes_[number];
        if (result.certainty == client::Certainty::done && result.outcome.status == kvstore::Status::ok) {
            ++report_.written;
            write.written = true;
            missing_ += write.told ? 0 : 1;
            report_.write_ns.record(since(write));
        } else if (result.certainty == client::Certainty::maybe_applied) {
            ++report_.unknown;
        } else {
            ++report_.failed;
        }
        changed_.notify_all();
    }

    void on_news(std::size_t watch, const WatchNews& news) {
        const std::lock_guard lock(mutex_);
        switch (news.kind) {
            case WatchNews::Kind::started: ++started_; break;
            case WatchNews::Kind::behind: ++report_.behind; break;
            case WatchNews::Kind::progress: break;
            case WatchNews::Kind::ended:
                if (news.ending != WatchNews::Ending::closed) {
                    ended_ = Failure{Exit::not_applied, "watch_ended", fmt::format("a watch ended: {}", news.why)};
                }
                break;
            case WatchNews::Kind::changes:
                for (const kvstore::Change& change : news.changes) {
                    on_change(watch, change);
                }
                return;
        }
        changed_.notify_all();
    }

    void on_change(std::size_t watch, const kvstore::Change& change) {
        ++report_.told;
        if (change.now.id <= last_[watch]) {
            ++report_.disordered;
        }
        last_[watch] = std::max(last_[watch], change.now.id);
        const std::size_t number = std::strtoull(string_of(change.now.value).c_str(), nullptr, 10);
        if (number >= writes_.size() || number % plan_.watches != watch || change.now.version == 0) {
            ++report_.strange;
            return;
        }
        WriteRecord& write = writes_[number];
        report_.repeated += write.told ? 1 : 0;
        if (!write.told) {
            missing_ -= write.written ? 1 : 0;
            report_.told_ns.record(since(write));
        }
        write.told = true;
        if (open_ == 0 && missing_ == 0) {
            changed_.notify_all();
        }
    }

    [[nodiscard]] static std::uint64_t since(const WriteRecord& write) {
        return static_cast<std::uint64_t>((BenchClock::now() - write.due).count());
    }

    const WatchBenchPlan& plan_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<WriteRecord> writes_;
    std::vector<kvstore::ChangeId> last_;  // by watch
    std::size_t started_ = 0;
    std::size_t open_ = 0;     // writes without an answer
    std::size_t missing_ = 0;  // written and not told yet
    std::optional<Failure> ended_;
    WatchBenchReport report_;
};

}  // namespace

Answer<WatchBenchReport> run_watch_bench(const WatchBenchPlan& plan, const std::vector<client::Client*>& watchers,
                                         client::Client& writer,
                                         const std::function<void(const std::string&)>& progress,
                                         const std::atomic<bool>& stop) {
    WatchBench bench(plan);
    Answer<void> done = bench.begin(watchers, progress, stop);
    if (done && !stop) {
        done = bench.write(writer, progress, stop);
    }
    WatchBenchReport report = bench.report();
    for (client::Client* watcher : watchers) {
        watcher->close();  // no callback comes any more
    }
    writer.close();
    if (!done) {
        return tl::unexpected<Failure>(done.error());
    }
    return report;
}

std::string watch_bench_text(const WatchBenchPlan& plan, const WatchBenchReport& report) {
    return fmt::format(
        "{} watches, begun within {:.2f} s\n"
        "{} writes in {:.1f} s ({:.0f} a second), {} failed, {} unknown; latency p50 {:.2f} ms, p99 {:.2f} ms\n"
        "{} changes told; {} lost, {} repeated, {} out of order, {} strange; {} times behind\n"
        "from the intended start of a write to the watch: p50 {:.2f} ms, p99 {:.2f} ms, p99.9 {:.2f} ms, max {:.2f} "
        "ms\n",
        plan.watches, report.begun_seconds, report.written, report.seconds,
        static_cast<double>(report.written) / std::max(report.seconds, 1e-9), report.failed, report.unknown,
        latency_ms(report.write_ns.percentile(50)), latency_ms(report.write_ns.percentile(99)), report.told,
        report.lost, report.repeated, report.disordered, report.strange, report.behind,
        latency_ms(report.told_ns.percentile(50)), latency_ms(report.told_ns.percentile(99)),
        latency_ms(report.told_ns.percentile(99.9)), latency_ms(report.told_ns.max()));
}

std::string watch_bench_json(const WatchBenchPlan& plan, const WatchBenchReport& report) {
    const auto latency = [](const Histogram& histogram) {
        return nlohmann::ordered_json{{"p50_ms", latency_ms(histogram.percentile(50))},
                                      {"p99_ms", latency_ms(histogram.percentile(99))},
                                      {"p999_ms", latency_ms(histogram.percentile(99.9))},
                                      {"max_ms", latency_ms(histogram.max())}};
    };
    const nlohmann::ordered_json document{{"watches", plan.watches},
                                          {"rate_per_s", plan.rate_per_s},
                                          {"begun_seconds", report.begun_seconds},
                                          {"seconds", report.seconds},
                                          {"written", report.written},
                                          {"failed", report.failed},
                                          {"unknown", report.unknown},
                                          {"told", report.told},
                                          {"lost", report.lost},
                                          {"repeated", report.repeated},
                                          {"disordered", report.disordered},
                                          {"strange", report.strange},
                                          {"behind", report.behind},
                                          {"write_latency", latency(report.write_ns)},
                                          {"told_latency", latency(report.told_ns)}};
    return document.dump() + "\n";
}

}  // namespace loyal::cli
