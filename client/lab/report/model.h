// What the page's charts are drawn from: a Record boiled down to bounded JSON. The page's scripts know nothing else.
// Times in seconds of the run. Pure.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "client/lab/record.h"
#include "client/lab/scenario.h"
#include "client/lab/verdict.h"

namespace loyal::lab {

inline constexpr std::size_t buckets_max = 160;    // of a series
inline constexpr std::size_t segments_max = 240;   // of a lane
inline constexpr std::size_t marks_max = 200;      // of the list of events
inline constexpr std::size_t messages_max = 140;   // of the message exchange
inline constexpr std::size_t operations_max = 60;  // of a violation's picture
inline constexpr std::size_t violations_max = 4;   // of each property

// One thing that happened, as the chart marks it and the list explains it; numbered from 1 in order of time.
struct Mark {
    double at_s = 0;
    Event::Kind kind = Event::Kind::note;
    std::optional<std::uint16_t> replica;
    std::string text;
};
struct Marks {
    std::vector<Mark> shown;
    std::size_t left_out = 0;  // the less telling ones, when there are too many
};
// Events and evidence. Phases are not marks.
[[nodiscard]] Marks marks_of(const Record& record);
[[nodiscard]] const char* name_of(Event::Kind kind);

// Lanes, fault strips, series, marks, the longest gap and the recovery, over one time axis.
[[nodiscard]] nlohmann::ordered_json timeline_model(const Record& record, const Scenario& scenario,
                                                    const Verdict& verdict);
// Columns and arrows; null when no messages were recorded.
[[nodiscard]] nlohmann::ordered_json sequence_model(const Record& record);
// The first violations of each property, in order.
[[nodiscard]] std::vector<const Violation*> violations_shown(const Verdict& verdict);
// One picture for each of these that names operations: who asked for what, when, and was answered what.
[[nodiscard]] nlohmann::ordered_json histories_model(const Record& record, const Verdict& verdict);

// ---- Shared with the words of the page
// The time that the picture has: the end of the run; of whatever came last when that is not known.
[[nodiscard]] double end_of(const Record& record);
[[nodiscard]] double seconds_of(const Record& record, std::uint64_t ns);
[[nodiscard]] bool is_client(std::uint16_t id);
// Two statements of one sender about the same view and height that name different blocks, as seen in `messages`:
// indices, the first pair of each sender.
struct Contradiction {
    std::size_t first = 0, second = 0;
};
[[nodiscard]] std::vector<Contradiction> contradictions_of(const std::vector<Message>& messages);

}  // namespace loyal::lab
