#include "client/lab/scenario.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "client/lab/step_grammar.h"
#include "client/lab/toml_fields.h"
#include "config/files.h"
#include "config/limits.h"

namespace loyal::lab {

namespace {

constexpr std::size_t file_bytes_max = 256 * 1024;
constexpr std::size_t steps_max = 200, variants_max = 8;
constexpr std::uint16_t replicas_max = 31;  // of one machine
constexpr double phase_s_max = 600;
constexpr std::uint64_t timer_ms_max = 600'000;

// One table, or the base table with a variant's changes laid over it.
class ScenarioParser {
 public:
    [[nodiscard]] Result<Scenario> parse(const toml::table& root, const std::string& name) {
        Scenario scenario = read(root, name);
        TomlFields fields(root, "the file", error_, root_names_);
        for (const toml::table* changes : fields.tables("variant", variants_max)) {
            if (!error_) {
                scenario.variants.push_back(read_variant(root, *changes, name));
            }
        }
        if (!error_ && scenario.variants.size() == 1) {
            fields.refuse("variant", "one variant alone compares nothing; give two, or none");
        }
        if (error_) {
            return tl::unexpected(*error_);
        }
        return scenario;
    }

 private:
    const TomlFields::Names root_names_ = {"title",    "paragraph", "runners", "waits_for", "cluster", "timers",
                                           "workload", "times",     "step",    "expect",    "variant"};

    Scenario read(const toml::table& root, const std::string& name) {
        Scenario scenario;
        scenario.name = name;
        TomlFields fields(root, "the file", error_, root_names_);
        scenario.title = fields.needed_text("title");
        scenario.paragraph = fields.needed_text("paragraph");
        scenario.waits_for = fields.text("waits_for", "");
        read_runners(fields, scenario);
        read_cluster(fields.table("cluster"), scenario.cluster);
        read_timers(fields.table("timers"), scenario.cluster.timers);
        read_workload(fields.table("workload"), scenario.workload);
        read_times(fields.table("times"), scenario.times);
        std::size_t number = 0;
        for (const toml::table* step : fields.tables("step", steps_max)) {
            read_step(*step, ++number, scenario);
        }
        std::stable_sort(scenario.steps.begin(), scenario.steps.end(),
                         [](const Step& a, const Step& b) { return a.at_s < b.at_s; });
        read_expectation(fields.table("expect"), scenario);
        check_life(fields, scenario);
        check_traitors(fields, scenario);
        check_naive(fields, scenario);
        check_locks(fields, scenario);
        return scenario;
    }

    Scenario read_variant(const toml::table& root, const toml::table& changes, const std::string& name) {
        TomlFields fields(changes, "[[variant]]", error_,
                          {"name", "paragraph", "runners", "cluster", "timers", "workload", "times", "step", "expect"});
        const std::string variant = fields.needed_text("name");
        if (!variants_.insert(variant).second) {
            fields.refuse("name", fmt::format("two variants are called \"{}\"", variant));
        }
        toml::table merged = root;
        merged.erase("variant");
        for (const auto& [key, node] : changes) {
            const toml::table* table = node.as_table();
            toml::node* below = merged.get(key.str());
            if (key.str() == "name") {
                continue;
            }
            if (table != nullptr && below != nullptr && below->is_table()) {
                for (const auto& [inner, value] : *table) {
                    below->as_table()->insert_or_assign(inner.str(), value);
                }
            } else {
                merged.insert_or_assign(key.str(), node);
            }
        }
        if (error_) {
            return {};
        }
        Scenario scenario = read(merged, name);
        scenario.variant = variant;
        if (error_) {
            error_->message = fmt::format("variant \"{}\": {}", variant, error_->message);
        }
        return scenario;
    }

    void read_runners(TomlFields& fields, Scenario& scenario) {
        if (!fields.has("runners")) {
            return;
        }
        scenario.runs_real = scenario.runs_simulated = false;
        for (const std::string& runner : fields.texts("runners")) {
            scenario.runs_real = scenario.runs_real || runner == "real";
            scenario.runs_simulated = scenario.runs_simulated || runner == "sim";
            if (runner != "real" && runner != "sim") {
                fields.refuse("runners", fmt::format("\"{}\" is none of real, sim", runner));
            }
        }
        if (!scenario.runs_real && !scenario.runs_simulated) {
            fields.refuse("runners", "nobody would run it; give real, sim or both");
        }
    }

    void read_cluster(const toml::table& table, ClusterShape& cluster) {
        TomlFields fields(table, "[cluster]", error_,
                          {"replicas", "fault_model", "crash_mode", "store", "timing", "checkpoint_interval"});
        cluster.replicas = static_cast<std::uint16_t>(fields.number("replicas", 3, replicas_max, cluster.replicas));
        cluster.fault_model = fields.choice("fault_model", {"byzantine", "crash"}, 0) == 0
                                  ? consensus::FaultModel::byzantine
                                  : consensus::FaultModel::crash;
        cluster.crash_mode = fields.choice("crash_mode", {"recovery", "stop"}, 0) == 0 ? config::CrashMode::recovery
                                                                                       : config::CrashMode::stop;
        if (fields.has("crash_mode") && cluster.fault_model != consensus::FaultModel::crash) {
            fields.refuse("crash_mode", "is for fault_model = \"crash\" only");
        }
        cluster.store =
            fields.choice("store", {"loyal", "last-write-wins"}, 0) == 0 ? Store::loyal : Store::last_write_wins;
        cluster.checkpoint_interval = fields.number("checkpoint_interval", 4 * limits::window_default,
                                                    limits::checkpoint_interval_max, cluster.checkpoint_interval);
        cluster.timing = static_cast<Timing>(fields.choice("timing", {"synchronous", "partial", "asynchronous"}, 1));
    }

    void read_timers(const toml::table& table, config::Timers& timers) {
        timers.tenure_ms = 0;
        TomlFields fields(table, "[timers]", error_,
                          {"detector", "heartbeat_ms", "order_latency_ms", "progress_min_ms", "progress_max_ms",
                           "precision_ms", "message_delay_ms", "tenure_ms", "phi_threshold"});
        const auto read = [&fields](std::string_view key, std::uint64_t& timer) {
            timer = fields.number(key, 1, timer_ms_max, timer);
        };
        timers.adaptive = fields.choice("detector", {"adaptive", "fixed"}, 0) == 0;
        read("heartbeat_ms", timers.heartbeat_ms);
        read("order_latency_ms", timers.order_latency_ms);
        read("progress_min_ms", timers.progress_min_ms);
        read("progress_max_ms", timers.progress_max_ms);
        read("precision_ms", timers.precision_ms);
        read("message_delay_ms", timers.message_delay_ms);
        timers.tenure_ms = fields.number("tenure_ms", 0, timer_ms_max, timers.tenure_ms);
        timers.phi_threshold = fields.real("phi_threshold", 1, 100, timers.phi_threshold);
        if (timers.progress_min_ms > timers.progress_max_ms) {
            fields.refuse("progress_min_ms", "is more than progress_max_ms");
        }
    }

    void read_workload(const toml::table& table, Workload& workload) {
        TomlFields fields(table, "[workload]", error_,
                          {"clients", "keys", "value_bytes", "reads", "cas", "deletes", "rate", "pause", "timeout",
                           "cas_by", "lock_ttl"});
        workload.clients = static_cast<std::uint16_t>(fields.number("clients", 1, 256, workload.clients));
        workload.keys = static_cast<std::uint32_t>(fields.number("keys", 1, 100'000, workload.keys));
        workload.value_bytes =
            static_cast<std::uint32_t>(fields.number("value_bytes", 16, 65'536, workload.value_bytes));
        workload.read_percent = static_cast<std::uint8_t>(fields.number("reads", 0, 100, workload.read_percent));
        workload.cas_percent = static_cast<std::uint8_t>(fields.number("cas", 0, 100, workload.cas_percent));
        workload.delete_percent = static_cast<std::uint8_t>(fields.number("deletes", 0, 100, workload.delete_percent));
        if (workload.read_percent + workload.cas_percent + workload.delete_percent > 100) {
            fields.refuse("reads", "reads, cas and deletes are percentages and add up to more than 100");
        }
        workload.rate_per_s = fields.real("rate", 0, 100'000, workload.rate_per_s);
        workload.pause_ms = fields.duration_ms("pause", 0, 60'000, workload.pause_ms);
        workload.timeout_ms = fields.duration_ms("timeout", 100, 120'000, workload.timeout_ms);
        workload.cas_by = static_cast<CasBy>(fields.choice("cas_by", {"operation", "lock", "fenced-lock"}, 0));
        workload.lock_ttl_ms = fields.duration_ms("lock_ttl", limits::lease_ttl_ms_min, 60'000, workload.lock_ttl_ms);
        if (workload.cas_by != CasBy::operation && workload.read_percent + workload.cas_percent != 100) {
            fields.refuse("cas_by", "a lock protects only what is done under it: reads and cas add up to 100 then");
        }
        if (fields.has("rate") && fields.has("pause")) {
            fields.refuse("pause", "callers either ask at a rate or pause between operations; give one of the two");
        }
    }

    void read_times(const toml::table& table, Times& times) {
        TomlFields fields(table, "[times]", error_, {"before", "during", "after"});
        times.before = fields.real("before", 0.2, phase_s_max, times.before);
        times.during = fields.real("during", 0.2, phase_s_max, times.during);
        times.after = fields.real("after", 0.2, phase_s_max, times.after);
    }

    void read_step(const toml::table& table, std::size_t number, Scenario& scenario) {
        struct Named {
            std::string_view key;
            Step::Kind kind;
        };
        static constexpr Named actions[] = {
            {"fault", Step::Kind::fault},
            {"net", Step::Kind::net},
            {"clock", Step::Kind::clock},
            {"disk", Step::Kind::disk},
            {"pause", Step::Kind::pause},
            {"kill", Step::Kind::kill},
            {"restart", Step::Kind::restart},
            {"expect-restart-refused", Step::Kind::expect_restart_refused},
            {"power-cut", Step::Kind::power_cut},
            {"heal", Step::Kind::heal},
            {"lose-disk", Step::Kind::lose_disk},
            {"save-disk", Step::Kind::save_disk},
            {"roll-back-disk", Step::Kind::roll_back_disk},
            {"pause-holder", Step::Kind::pause_holder},
        };
        TomlFields fields(
            table, fmt::format("[[step]] {}", number), error_,
            {"at", "fault", "net", "clock", "disk", "pause", "kill", "restart", "expect-restart-refused", "power-cut",
             "lose-disk", "save-disk", "roll-back-disk", "pause-holder", "heal", "repeat", "every"});
        const Named* action = nullptr;
        for (const Named& each : actions) {
            if (fields.has(each.key)) {
                if (action != nullptr) {
                    fields.refuse(each.key, fmt::format("a step does one thing, and this one has \"{}\", too; make two "
                                                        "steps with the same time",
                                                        action->key));
                }
                action = &each;
            }
        }
        if (action == nullptr) {
            fields.refuse("",
                          "it does nothing; give one of fault, net, clock, disk, pause, kill, restart, power-cut, "
                          "lose-disk, save-disk, roll-back-disk, pause-holder, heal, expect-restart-refused");
            return;
        }
        if (!fields.has("at")) {
            fields.refuse("at", "is missing: seconds from the start of the run");
        }
        const double at = fields.real("at", 0, scenario.times.total(), 0);
        std::string value;
        const bool about_all =
            action->kind == Step::Kind::heal || (action->kind == Step::Kind::power_cut && fields.is_flag(action->key));
        if (about_all) {
            if (!fields.flag(action->key, true)) {
                fields.refuse(action->key, "false does nothing; leave the step out");
            }
        } else {
            value = fields.ids(action->key);
        }
        if (error_) {
            return;
        }
        Result<Step> step = parse_step(action->kind, value, scenario.cluster.replicas);
        if (!step) {
            fields.refuse(action->key, step.error().message);
            return;
        }
        repeat(fields, at, *step, scenario);
    }

    void repeat(TomlFields& fields, double at, Step step, Scenario& scenario) {
        const std::uint64_t times = fields.number("repeat", 1, steps_max, 1);
        const double every = fields.real("every", 0.01, phase_s_max, 0);
        if (fields.has("repeat") != fields.has("every")) {
            fields.refuse("repeat", "goes with every: how often, and so many seconds apart");
        }
        for (std::uint64_t i = 0; i < times; ++i) {
            step.at_s = at + every * static_cast<double>(i);
            const double ends = step.at_s + static_cast<double>(step.pause_ms) / 1000.0;
            if (ends > scenario.times.total() + 1e-9) {
                fields.refuse("at", fmt::format("{} s: it would end after the run, which takes {} s ([times])", ends,
                                                scenario.times.total()));
                return;
            }
            scenario.steps.push_back(step);
        }
        if (scenario.steps.size() > steps_max) {
            fields.refuse("repeat", fmt::format("more than {} steps in all", steps_max));
        }
    }

    void read_expectation(const toml::table& table, Scenario& scenario) {
        Expectation& expect = scenario.expect;
        TomlFields fields(
            table, "[expect]", error_,
            {"violated", "live", "stalls", "recovery_max_s", "evidence", "against", "beyond_model", "text"});
        for (const std::string& word : fields.texts("violated")) {
            bool known = false;
            for (const Property property :
                 {Property::agreement, Property::linearizable, Property::durable, Property::once, Property::live}) {
                if (word == name_of(property)) {
                    known = true;
                    expect.violated.push_back(property);
                }
            }
            if (!known) {
                fields.refuse("violated",
                              fmt::format("\"{}\" is none of agreement, linearizable, durable, once, live", word));
            }
        }
        expect.live = fields.flag("live", expect.live);
        expect.stalls = fields.flag("stalls", expect.stalls);
        expect.recovery_max_s = fields.real("recovery_max_s", 0.1, phase_s_max, expect.recovery_max_s);
        expect.evidence = fields.texts("evidence");
        for (const std::string& kind : expect.evidence) {
            if (kind.size() != 2 || kind[0] != 'E' || kind[1] < '1' || kind[1] > '7') {
                fields.refuse("evidence", fmt::format("\"{}\": kinds are E1 to E7", kind));
            }
        }
        if (fields.has("against")) {
            const auto against = parse_target(fields.ids("against"), scenario.cluster.replicas);
            if (!against || against->role != Target::Role::ids) {
                fields.refuse("against", against ? "expected replica numbers" : against.error().message);
            } else {
                expect.against = against->ids;
            }
        }
        expect.beyond_model = fields.flag("beyond_model", false);
        expect.text = fields.text("text", "");
        const std::vector<std::uint16_t> traitors = scenario.traitors();
        for (const std::uint16_t id : expect.against) {
            if (std::find(traitors.begin(), traitors.end(), id) == traitors.end()) {
                fields.refuse("against",
                              fmt::format("replica {} is never told to lie; nobody may hold proof against it", id));
            }
        }
        if (!expect.evidence.empty() && traitors.empty()) {
            fields.refuse("evidence", "there is no traitor in this scenario, so nobody may be accused");
        }
    }

    // Only the living die, only the dead are started.
    void check_life(TomlFields& fields, const Scenario& scenario) {
        std::set<std::uint16_t> dead, saved;
        bool all_saved = false;         // somebody was, by role
        bool somebody_unknown = false;  // killed by role
        for (const Step& step : scenario.steps) {
            if (step.kind == Step::Kind::save_disk) {
                all_saved = all_saved || step.target.role != Target::Role::ids;
                saved.insert(step.target.ids.begin(), step.target.ids.end());
            }
            if (step.kind == Step::Kind::roll_back_disk && !all_saved &&
                !std::includes(saved.begin(), saved.end(), step.target.ids.begin(), step.target.ids.end())) {
                fields.refuse("step", fmt::format("at {} s a copy of a disk is to be put back, but none was taken "
                                                  "before; give save-disk first",
                                                  step.at_s));
            }
            const bool kills = ends_processes(step.kind);
            const bool starts = step.kind == Step::Kind::restart || step.kind == Step::Kind::expect_restart_refused;
            // A disk that fails, or a fault line that says so, may end a replica, too.
            const bool may_end =
                (step.kind == Step::Kind::disk && is_injection(step)) ||
                (step.kind == Step::Kind::fault && (step.fault.kind == replica::FaultSpec::Kind::crash_stop ||
                                                    step.fault.kind == replica::FaultSpec::Kind::crash_recovery));
            somebody_unknown = somebody_unknown || may_end;
            if (!kills && !starts) {
                continue;
            }
            if (step.target.role == Target::Role::dead) {
                if (dead.empty() && !somebody_unknown) {
                    fields.refuse("step",
                                  fmt::format("at {} s \"dead\" is to be started, but nobody is dead then", step.at_s));
                }
                dead.clear();
                somebody_unknown = false;
                continue;
            }
            somebody_unknown = somebody_unknown || step.target.role != Target::Role::ids;
            for (const std::uint16_t id : step.target.ids) {
                if (starts && !somebody_unknown && !dead.contains(id)) {
                    fields.refuse(
                        "step",
                        fmt::format("at {} s replica {} is to be started, but nothing ended it before", step.at_s, id));
                }
                if (step.kind == Step::Kind::kill && dead.contains(id)) {
                    fields.refuse("step",
                                  fmt::format("at {} s replica {} is to be killed, but it is dead", step.at_s, id));
                }
                if (kills) {
                    dead.insert(id);
                } else if (step.kind == Step::Kind::restart) {
                    dead.erase(id);
                }
            }
        }
        if (scenario.cluster.crash_mode == config::CrashMode::stop &&
            std::any_of(scenario.steps.begin(), scenario.steps.end(),
                        [](const Step& step) { return step.kind == Step::Kind::restart; })) {
            fields.refuse("step", "crash_mode = \"stop\": a crashed replica never returns; use expect-restart-refused");
        }
    }

    void check_traitors(TomlFields& fields, const Scenario& scenario) {
        const std::size_t traitors = scenario.traitors().size();
        const std::size_t tolerated = scenario.cluster.quorum().fb;
        const char* model = scenario.cluster.fault_model == consensus::FaultModel::crash ? "crash" : "byzantine";
        if (traitors >= scenario.cluster.replicas) {
            fields.refuse("step", fmt::format("{} traitors of {} replicas: nobody correct would be left to judge",
                                              traitors, scenario.cluster.replicas));
        }
        const bool beyond = scenario.expect.beyond_model || !scenario.expect.violated.empty();
        if (traitors > tolerated && !beyond) {
            fields.refuse("step",
                          fmt::format("{} traitors are more than the {} that a {} cluster of {} tolerates; say what "
                                      "breaks ([expect] violated = [...]), or beyond_model = true if nothing should",
                                      traitors, tolerated, model, scenario.cluster.replicas));
        }
    }

    // The naive store has clocks and links, and no processes.
    void check_naive(TomlFields& fields, const Scenario& scenario) {
        if (scenario.cluster.store != Store::last_write_wins) {
            return;
        }
        for (const Step& step : scenario.steps) {
            if (step.kind != Step::Kind::clock && step.kind != Step::Kind::heal) {
                fields.refuse("step",
                              fmt::format("at {} s: a last-write-wins store only has clocks to disturb", step.at_s));
            }
        }
    }

    // Locks are for real clients, and their holders are only stopped where there are any.
    void check_locks(TomlFields& fields, const Scenario& scenario) {
        const bool locks = scenario.workload.cas_by != CasBy::operation;
        if (locks && (scenario.runs_simulated || scenario.cluster.store != Store::loyal)) {
            fields.refuse("workload", "cas_by a lock is for real processes; give runners = [\"real\"]");
        }
        if (!locks && std::any_of(scenario.steps.begin(), scenario.steps.end(),
                                  [](const Step& step) { return step.kind == Step::Kind::pause_holder; })) {
            fields.refuse("step",
                          "pause-holder: nobody holds a lock; give [workload] cas_by = \"lock\" or \"fenced-lock\"");
        }
    }

    std::optional<Error> error_;
    std::set<std::string> variants_;
};

std::string expectation_in_words(const Scenario& scenario) {
    const Expectation& expect = scenario.expect;
    std::vector<std::string> parts;
    if (expect.violated.empty()) {
        parts.emplace_back("agreement, linearizability and every acknowledged write hold");
    } else {
        std::vector<std::string> names;
        for (const Property property : expect.violated) {
            names.emplace_back(name_of(property));
        }
        parts.push_back(fmt::format("safety breaks ({})", fmt::join(names, " or ")));
    }
    if (expect.stalls) {
        parts.emplace_back("operations stall while the fault lasts");
    }
    if (expect.violated.empty()) {
        parts.push_back(expect.live ? fmt::format("operations go on within {} s", expect.recovery_max_s)
                                    : std::string("operations do not go on"));
    }
    if (!expect.evidence.empty()) {
        parts.push_back(fmt::format("the traitor is convicted ({})", fmt::join(expect.evidence, " or ")));
    }
    return fmt::format("{}", fmt::join(parts, "; "));
}

Result<Scenario> parse_table(std::string_view text, const std::string& name) {
    try {
        const toml::table root = toml::parse(text);
        Result<Scenario> scenario = ScenarioParser().parse(root, name);
        if (scenario) {
            for (Scenario& variant : scenario->variants) {
                variant.expect.text = variant.expect.text.empty() ? expectation_in_words(variant) : variant.expect.text;
            }
            scenario->expect.text =
                scenario->expect.text.empty() ? expectation_in_words(*scenario) : scenario->expect.text;
        }
        return scenario;
    } catch (const toml::parse_error& error) {
        return fail(Errc::invalid_argument, fmt::format("line {}, column {}: not TOML: {}", error.source().begin.line,
                                                        error.source().begin.column, error.description()));
    } catch (const std::exception& error) {
        return fail(Errc::invalid_argument, error.what());
    }
}

}  // namespace

Result<Scenario> parse_scenario(std::string_view text, const std::string& origin) {
    if (text.size() > file_bytes_max) {
        return fail(Errc::invalid_argument, fmt::format("{}: larger than {} bytes", origin, file_bytes_max));
    }
    Result<Scenario> scenario = parse_table(text, std::filesystem::path(origin).stem().string());
    if (!scenario) {
        return fail(scenario.error().code, origin + ": " + scenario.error().message);
    }
    return scenario;
}

Result<Scenario> load_scenario(const std::string& path) {
    Bytes buffer(file_bytes_max);
    const auto size = read_file(path, buffer, Secrecy::open_to_all);
    if (!size) {
        return tl::unexpected(size.error());
    }
    return parse_scenario(text_of(ByteView(buffer).first(*size)), path);
}

}  // namespace loyal::lab
